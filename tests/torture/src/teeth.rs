//! Bugs that are planted, one after the other, to see whether they are found.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use bakehouse_dev_servers::power_loss::Ignored;
use bakehouse_e2e::Kind;

use crate::run::{Order, run};

/// Runs that a bug may survive.
const RUNS: u64 = 4;
/// How long each takes.
const TIME: Duration = Duration::from_secs(45);
/// Milliseconds between requests: what only shows when much comes at once shows sooner.
const REST: u64 = 8;

/// A bug, the faults that it is most likely to show by (empty: any), and the checks of which one
/// must tell. That nothing recovers any more is no such check, unless that is the promise.
type Tooth = (&'static str, &'static str, &'static [&'static str]);

const GAPS: &[&str] = &["gap for a subscriber"];
const LOST: &[&str] = &["lost"];
const TWICE: &[&str] = &["doubled", "accepted as another"];
const FORGOTTEN: &[&str] = &["not notified"];
const WRONG: &[&str] = &["wrong document", "list", "never placed"];
const LOST_FILE: &[&str] = &["lost file"];
/// A state that two leaders have made is past what anybody can go on from: the log stays
/// without verdicts.
const STUCK: &[&str] = &[
    "no verdict",
    "wrong verdict",
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
    ("clock-positions", "", &["gap in the log"]),
    ("lost-wake-up", "", &["not recovered", "no verdict"]),
    ("settled-before-sent", "", FORGOTTEN),
];
/// Of one process.
const OF_ONE_PROCESS: [Tooth; 11] = [
    ("ack-before-insert", "", LOST),
    ("ignored-refusal", "", LOST),
    ("unconfirmed", "", LOST),
    ("requeue-at-the-end", "", &["reordered"]),
    ("checkpoint-before-documents", "", WRONG),
    ("since-off-by-one", "", GAPS),
    ("dedup-window", "", TWICE),
    ("settled-before-sent", "", FORGOTTEN),
    ("unsynced-store", "power lost", LOST),
    ("unsynced-files", "power lost", LOST_FILE),
    ("unsynced-folders", "power lost", LOST_FILE),
];

/// A sync that is missing is planted in the model of the disk: the programs stay as they are.
#[must_use]
pub fn missing_sync(bug: &str) -> Option<Ignored> {
    match bug {
        "unsynced-store" => Some(Ignored::Files("bakehouse.db")),
        "unsynced-files" => Some(Ignored::Below("attachments")),
        "unsynced-folders" => Some(Ignored::Folders),
        _ => None,
    }
}

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
    let mut controls = Controls {
        kind,
        clean: BTreeMap::new(),
    };
    let mut all = true;
    for tooth in bugs.iter().filter(is_meant) {
        all &= bite_one(&mut controls, seed, *tooth).await?;
    }
    Ok(all)
}

/// Runs without any bug: what is found in them would be found with every one.
struct Controls {
    kind: Kind,
    /// Results by the seed and the faults.
    clean: BTreeMap<(u64, &'static str), bool>,
}

impl Controls {
    /// Tells whether nothing is found with this seed and these faults.
    async fn is_clean(&mut self, seed: u64, only: &'static str) -> Result<bool> {
        if let Some(is_clean) = self.clean.get(&(seed, only)) {
            return Ok(*is_clean);
        }
        let report = run(&order(self.kind, seed, None, only, &[])).await?;
        println!(
            "no bug, seed {seed}, {only:?}: {:?} found",
            report.findings.counts
        );
        for finding in &report.findings.shown {
            println!("  {finding}");
        }
        self.clean.insert((seed, only), report.is_clean());
        Ok(report.is_clean())
    }
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
        is_released: false,
        is_loud: false,
    }
}

async fn bite_one(controls: &mut Controls, seed: u64, (bug, only, told): Tooth) -> Result<bool> {
    for attempt in 0..RUNS {
        let seed = seed + attempt;
        let report = run(&order(controls.kind, seed, Some(bug), only, told)).await?;
        let found = &report.findings.counts;
        if told.iter().any(|kind| found.contains_key(kind)) {
            let seconds = (attempt as f64).mul_add(TIME.as_secs_f64(), report.seconds);
            println!("{bug}: found after {seconds:.0} s: {found:?}");
            return controls.is_clean(seed, only).await;
        }
        println!("{bug}: seed {seed}: {found:?}");
    }
    println!("{bug}: NOT FOUND in {RUNS} runs by {told:?}");
    Ok(false)
}
