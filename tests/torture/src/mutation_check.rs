//! Mutation check: plants one bug after the other and verifies that a check finds it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use bakehouse_dev_servers::power_loss::Ignored;
use bakehouse_e2e::Kind;

use crate::run::{RunOptions, run};

/// Maximum number of runs for one bug.
const MAX_RUNS: u64 = 4;
/// Duration of one run.
const RUN_DURATION: Duration = Duration::from_secs(45);
/// Average time between two requests of a client, in milliseconds. Short, because some bugs only
/// show under high load.
const PAUSE_MS: u64 = 8;

/// A bug: its name, the filter of faults that are most likely to show it (empty: any fault), and
/// the kinds of findings of which one must appear. A missing recovery only counts for bugs that
/// violate that guarantee.
type PlantedBug = (&'static str, &'static str, &'static [&'static str]);

const GAPS: &[&str] = &["gap for a subscriber"];
const LOST: &[&str] = &["lost"];
const TWICE: &[&str] = &["doubled", "accepted under another identity"];
const NOT_NOTIFIED: &[&str] = &["not notified"];
const WRONG: &[&str] = &["wrong document", "wrong list", "document without order"];
const LOST_FILE: &[&str] = &["lost file"];
/// Findings after two leaders have written conflicting state: execution cannot continue, so events
/// stay without verdicts.
const CONFLICTING_STATE: &[&str] = &[
    "no verdict",
    "wrong verdict",
    "wrong frame",
    "wrong document",
];

/// Bugs of four services.
const SERVERS_BUGS: [PlantedBug; 13] = [
    ("ack-before-insert", "between two writes", LOST),
    ("silent-drop", "unbound", LOST),
    ("ignored-refusal", "", LOST),
    ("unconfirmed", "", LOST),
    ("requeue-at-the-end", "", &["reordered"]),
    (
        "no-fence",
        r#"Stop("orders-manager", "orders-manager.executed""#,
        CONFLICTING_STATE,
    ),
    ("two-leaders", "", CONFLICTING_STATE),
    ("checkpoint-before-documents", "", WRONG),
    ("since-off-by-one", "", GAPS),
    ("dedup-window", "", TWICE),
    ("clock-positions", "", &["gap in the log"]),
    ("lost-wake-up", "", &["not recovered", "no verdict"]),
    ("settled-before-sent", "", NOT_NOTIFIED),
];
/// Bugs of one process.
const ONE_PROCESS_BUGS: [PlantedBug; 11] = [
    ("ack-before-insert", "", LOST),
    ("ignored-refusal", "", LOST),
    ("unconfirmed", "", LOST),
    ("requeue-at-the-end", "", &["reordered"]),
    ("checkpoint-before-documents", "", WRONG),
    ("since-off-by-one", "", GAPS),
    ("dedup-window", "", TWICE),
    ("settled-before-sent", "", NOT_NOTIFIED),
    ("unsynced-store", "power lost", LOST),
    ("unsynced-files", "power lost", LOST_FILE),
    ("unsynced-folders", "power lost", LOST_FILE),
];

/// Returns the sync to ignore for a bug that is planted in the model of the disk. The programs
/// themselves do not change.
#[must_use]
pub fn ignored_sync(bug: &str) -> Option<Ignored> {
    match bug {
        "unsynced-store" => Some(Ignored::Files("bakehouse.db")),
        "unsynced-files" => Some(Ignored::Below("attachments")),
        "unsynced-folders" => Some(Ignored::Folders),
        _ => None,
    }
}

/// Plants all bugs, or only the named one, and prints which kinds of findings each led to. Returns
/// whether all of them were found.
///
/// # Errors
/// When no bug has that name, or the system under test cannot be started.
pub async fn run_all(kind: Kind, seed: u64, only: Option<&str>) -> Result<bool> {
    let bugs: &[PlantedBug] = match kind {
        Kind::Servers => &SERVERS_BUGS,
        Kind::Embedded => &ONE_PROCESS_BUGS,
    };
    let is_selected = |(bug, ..): &&PlantedBug| only.is_none_or(|only| only == *bug);
    ensure!(
        bugs.iter().any(|bug| is_selected(&bug)),
        "no such bug in this deployment"
    );
    let mut controls = ControlRuns {
        kind,
        clean: BTreeMap::new(),
    };
    let mut all_found = true;
    for bug in bugs.iter().filter(is_selected) {
        all_found &= run_one(&mut controls, seed, *bug).await?;
    }
    Ok(all_found)
}

/// Runs without a bug. A finding in one of them would also appear with every bug.
struct ControlRuns {
    kind: Kind,
    /// Whether a run was clean, by seed and filter of faults.
    clean: BTreeMap<(u64, &'static str), bool>,
}

impl ControlRuns {
    /// Checks whether a run with this seed and these faults has no findings.
    async fn is_clean(&mut self, seed: u64, only: &'static str) -> Result<bool> {
        if let Some(is_clean) = self.clean.get(&(seed, only)) {
            return Ok(*is_clean);
        }
        let report = run(&options(self.kind, seed, None, only, &[])).await?;
        println!(
            "control run, seed {seed}, faults {only:?}: findings {:?}",
            report.findings.counts
        );
        for finding in &report.findings.shown {
            println!("  {finding}");
        }
        self.clean.insert((seed, only), report.is_clean());
        Ok(report.is_clean())
    }
}

fn options(
    kind: Kind,
    seed: u64,
    bug: Option<&str>,
    only: &str,
    stop_at: &'static [&'static str],
) -> RunOptions {
    RunOptions {
        kind,
        seed,
        duration: RUN_DURATION,
        pause_ms: PAUSE_MS,
        bug: bug.map(str::to_owned),
        only: Some(only.to_owned()),
        stop_at,
        is_released: false,
        is_loud: false,
    }
}

async fn run_one(
    controls: &mut ControlRuns,
    seed: u64,
    (bug, only, expected): PlantedBug,
) -> Result<bool> {
    for attempt in 0..MAX_RUNS {
        let seed = seed + attempt;
        let report = run(&options(controls.kind, seed, Some(bug), only, expected)).await?;
        let found = &report.findings.counts;
        if expected.iter().any(|kind| found.contains_key(kind)) {
            let seconds = (attempt as f64).mul_add(RUN_DURATION.as_secs_f64(), report.seconds);
            println!("{bug}: found after {seconds:.0} s: {found:?}");
            return controls.is_clean(seed, only).await;
        }
        println!("{bug}: not found with seed {seed}: {found:?}");
    }
    println!("{bug}: NOT FOUND in {MAX_RUNS} runs; expected one of {expected:?}");
    Ok(false)
}
