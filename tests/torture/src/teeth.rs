//! Bugs that are planted, one after the other, to see whether they are found.

use std::time::Duration;

use anyhow::Result;
use bakehouse_e2e::Kind;

use crate::run::{Order, run};

/// Runs that a bug may survive.
const RUNS: u64 = 4;
/// How long each takes.
const TIME: Duration = Duration::from_secs(45);
/// Milliseconds between requests: what only shows when much comes at once shows sooner.
const REST: u64 = 8;

/// Of four services.
const OF_SERVERS: [&str; 12] = [
    "ack-before-insert",
    "silent-drop",
    "ignored-refusal",
    "unconfirmed",
    "requeue-at-the-end",
    "no-fence",
    "two-leaders",
    "checkpoint-before-documents",
    "since-off-by-one",
    "dedup-window",
    "clock-positions",
    "lost-wake-up",
];
/// Of one process.
const OF_ONE_PROCESS: [&str; 7] = [
    "ack-before-insert",
    "ignored-refusal",
    "unconfirmed",
    "requeue-at-the-end",
    "checkpoint-before-documents",
    "since-off-by-one",
    "dedup-window",
];

/// Plants all of them; says which was found by what, and whether all were.
///
/// # Errors
/// When a scene cannot be set.
pub async fn bite(kind: Kind, seed: u64) -> Result<bool> {
    let bugs: &[&str] = match kind {
        Kind::Servers => &OF_SERVERS,
        Kind::Embedded => &OF_ONE_PROCESS,
    };
    let mut all = true;
    for bug in bugs {
        all &= bite_one(kind, seed, bug).await?;
    }
    Ok(all)
}

async fn bite_one(kind: Kind, seed: u64, bug: &str) -> Result<bool> {
    for attempt in 0..RUNS {
        let order = Order {
            kind,
            seed: seed + attempt,
            time: TIME,
            rest: REST,
            bug: Some(bug.to_owned()),
            only: None,
            is_loud: false,
        };
        let report = run(&order).await?;
        if !report.is_clean() {
            let seconds = (attempt as f64).mul_add(TIME.as_secs_f64(), report.seconds);
            println!(
                "{bug}: found after {seconds:.0} s: {:?}",
                report.findings.counts
            );
            return Ok(true);
        }
    }
    println!("{bug}: NOT FOUND in {RUNS} runs");
    Ok(false)
}
