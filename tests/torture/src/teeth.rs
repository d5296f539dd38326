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

/// Of four services; and the faults that they are most likely to show by, where that is
/// not any.
const OF_SERVERS: [(&str, &str); 12] = [
    ("ack-before-insert", "between two writes"),
    ("silent-drop", "unbound"),
    ("ignored-refusal", ""),
    ("unconfirmed", ""),
    ("requeue-at-the-end", ""),
    ("no-fence", "paused"),
    ("two-leaders", ""),
    ("checkpoint-before-documents", ""),
    ("since-off-by-one", ""),
    ("dedup-window", ""),
    ("clock-positions", ""),
    ("lost-wake-up", ""),
];
/// Of one process.
const OF_ONE_PROCESS: [(&str, &str); 7] = [
    ("ack-before-insert", ""),
    ("ignored-refusal", ""),
    ("unconfirmed", ""),
    ("requeue-at-the-end", ""),
    ("checkpoint-before-documents", ""),
    ("since-off-by-one", ""),
    ("dedup-window", ""),
];

/// Plants all of them; says which was found by what, and whether all were.
///
/// # Errors
/// When a scene cannot be set.
pub async fn bite(kind: Kind, seed: u64) -> Result<bool> {
    let bugs: &[(&str, &str)] = match kind {
        Kind::Servers => &OF_SERVERS,
        Kind::Embedded => &OF_ONE_PROCESS,
    };
    let mut all = true;
    for (bug, only) in bugs {
        all &= bite_one(kind, seed, (bug, only)).await?;
    }
    Ok(all)
}

async fn bite_one(kind: Kind, seed: u64, (bug, only): (&str, &str)) -> Result<bool> {
    for attempt in 0..RUNS {
        let order = Order {
            kind,
            seed: seed + attempt,
            time: TIME,
            rest: REST,
            bug: Some(bug.to_owned()),
            only: Some(only.to_owned()),
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
