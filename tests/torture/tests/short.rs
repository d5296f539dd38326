//! A little torture, so that the tools for a lot of it stay sharp.

use std::time::Duration;

use bakehouse_e2e::Kind;
use bakehouse_torture::report::Report;
use bakehouse_torture::run::{Order, run};

/// Leads to little that takes long: a service paused for a quarter of a minute would leave
/// no time for anything else.
const SEED: u64 = 1_111;

async fn torture(kind: Kind, seconds: u64, bug: Option<&str>) -> Report {
    let order = Order {
        kind,
        seed: SEED,
        time: Duration::from_secs(seconds),
        rest: 20,
        bug: bug.map(str::to_owned),
        only: None,
        enough: &[],
        is_released: false,
        is_loud: false,
    };
    run(&order).await.expect("a scene")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_promise_is_broken_in_one_process() {
    let report = torture(Kind::Embedded, 15, None).await;
    assert!(report.is_clean(), "{}", report.text());
    assert!(report.all_kills() > 3, "{}", report.text());
    assert!(report.accepted > 50, "{}", report.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_promise_is_broken_on_servers() {
    let report = torture(Kind::Servers, 25, None).await;
    assert!(report.is_clean(), "{}", report.text());
    assert!(report.all_kills() > 3, "{}", report.text());
    assert!(report.accepted > 50, "{}", report.text());
}

/// Otherwise the other two would say nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_promise_shows() {
    let bug = Some("unconfirmed");
    let report = torture(Kind::Embedded, 15, bug).await;
    let lost = report.json()["lost"].as_u64();
    assert!(lost > Some(0), "{}", report.text());
}
