//! Bugs that are planted, one after the other, to see whether they are found.

use std::time::Duration;

use anyhow::{Result, ensure};
use bakehouse_e2e::Kind;

use crate::run::{Order, run};

/// Runs that a bug may survive.
const RUNS: u64 = 4;
/// How long each takes.
const TIME: Duration = Duration::from_secs(45);
/// Milliseconds between requests: what only shows when much comes at once shows sooner.
const REST: u64 = 8;

/// A bug, the faults that it is most likely to show by (empty: any), and what must tell.
type Tooth = (&'static str, &'static str, &'static [&'static str]);

const GAPS: &[&str] = &["gap for a subscriber"];
const LOST: &[&str] = &["lost"];
const TWICE: &[&str] = &["doubled", "accepted as another"];
const FORGOTTEN: &[&str] = &["not notified"];
const WRONG: &[&str] = &["wrong document", "list", "never placed"];
/// A state that two leaders have made is past what anybody can go on from.
const STUCK: &[&str] = &[
    "not recovered",
    "not quiet",
    "wrong frame",
    "wrong document",
];

/// Of four services.
const OF_SERVERS: [Tooth; 13] = [
    ("ack-before-insert", "between two writes", LOST),
    ("silent-drop", "unbound", LOST),
    ("ignored-refusal", "", LOST),
    ("unconfirmed", "", LOST),
    ("requeue-at-the-end", "", &["reordered"]),
    (
        "no-fence",
        r#"Stop("orders-manager", "orders-manager.executed""#,
        STUCK,
    ),
    ("two-leaders", "", STUCK),
    ("checkpoint-before-documents", "", WRONG),
    ("since-off-by-one", "", GAPS),
    ("dedup-window", "", TWICE),
    ("clock-positions", "", &["gap in the log", "not recovered"]),
    (
        "lost-wake-up",
        "",
        &["not recovered", "not quiet", "no verdict"],
    ),
    ("settled-before-sent", "", FORGOTTEN),
];
/// Of one process.
const OF_ONE_PROCESS: [Tooth; 8] = [
    ("ack-before-insert", "", LOST),
    ("ignored-refusal", "", LOST),
    ("unconfirmed", "", LOST),
    ("requeue-at-the-end", "", &["reordered"]),
    ("checkpoint-before-documents", "", WRONG),
    ("since-off-by-one", "", GAPS),
    ("dedup-window", "", TWICE),
    ("settled-before-sent", "", FORGOTTEN),
];

/// Plants all of them, or one; says which was found by what, and whether all were.
///
/// # Errors
/// When a scene cannot be set.
pub async fn bite(kind: Kind, seed: u64, only: Option<&str>) -> Result<bool> {
    let bugs: &[Tooth] = match kind {
        Kind::Servers => &OF_SERVERS,
        Kind::Embedded => &OF_ONE_PROCESS,
    };
    let is_meant = |(bug, ..): &&Tooth| only.is_none_or(|only| only == *bug);
    ensure!(
        bugs.iter().any(|tooth| is_meant(&tooth)),
        "no such bug can be planted here"
    );
    // What is found without any bug would be found with every one.
    let control = run(&order(kind, seed, None, "", &[])).await?;
    println!("no bug: {:?} found", control.findings.counts);
    let mut all = control.is_clean();
    for tooth in bugs.iter().filter(is_meant) {
        all &= bite_one(kind, seed, *tooth).await?;
    }
    Ok(all)
}

fn order(
    kind: Kind,
    seed: u64,
    bug: Option<&str>,
    only: &str,
    enough: &'static [&'static str],
) -> Order {
    Order {
        kind,
        seed,
        time: TIME,
        rest: REST,
        bug: bug.map(str::to_owned),
        only: Some(only.to_owned()),
        enough,
        is_loud: false,
    }
}

async fn bite_one(kind: Kind, seed: u64, (bug, only, told): Tooth) -> Result<bool> {
    for attempt in 0..RUNS {
        let report = run(&order(kind, seed + attempt, Some(bug), only, told)).await?;
        let found = &report.findings.counts;
        if told.iter().any(|kind| found.contains_key(kind)) {
            let seconds = (attempt as f64).mul_add(TIME.as_secs_f64(), report.seconds);
            println!("{bug}: found after {seconds:.0} s: {found:?}");
            return Ok(true);
        }
    }
    println!("{bug}: NOT FOUND in {RUNS} runs");
    Ok(false)
}
