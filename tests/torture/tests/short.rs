//! Short run_torture runs, which keep the tool itself working.

use std::time::Duration;

use bakehouse_e2e::Kind;
use bakehouse_torture::report::Report;
use bakehouse_torture::run::{RunOptions, run};

/// Seed with few long faults: a service paused for 15 seconds would leave no time for others.
const SEED: u64 = 1_111;

async fn run_torture(kind: Kind, seconds: u64, bug: Option<&str>) -> Report {
    let options = RunOptions {
        kind,
        seed: SEED,
        duration: Duration::from_secs(seconds),
        pause_ms: 20,
        bug: bug.map(str::to_owned),
        only: None,
        stop_at: &[],
        is_released: false,
        is_loud: false,
    };
    run(&options).await.expect("the system starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_promises_are_kept_in_one_process() {
    let report = run_torture(Kind::Embedded, 15, None).await;
    assert!(report.is_clean(), "{}", report.text());
    assert!(report.all_kills() > 3, "{}", report.text());
    assert!(report.accepted > 50, "{}", report.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_promises_are_kept_on_servers() {
    let report = run_torture(Kind::Servers, 25, None).await;
    assert!(report.is_clean(), "{}", report.text());
    assert!(report.all_kills() > 3, "{}", report.text());
    assert!(report.accepted > 50, "{}", report.text());
}

/// Control of the other two tests: a planted bug is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_promise_is_found() {
    let bug = Some("unconfirmed");
    let report = run_torture(Kind::Embedded, 15, bug).await;
    let lost = report.json()["lost"].as_u64();
    assert!(lost > Some(0), "{}", report.text());
}
