//! Mutation check: plants one bug after the other and verifies that a check finds it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use bakehouse_e2e::Kind;

use crate::bugs::{ONE_PROCESS_BUGS, PlantedBug, SERVERS_BUGS};
use crate::run::{RunOptions, run};

/// Maximum number of runs for one bug.
const MAX_RUNS: u64 = 4;
/// Duration of one run.
const RUN_DURATION: Duration = Duration::from_secs(45);
/// Average time between two requests of a client, in milliseconds. Short, because some bugs only
/// show under high load.
const PAUSE_MS: u64 = 8;

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
    /// True for a run without findings, by seed and filter of faults.
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
