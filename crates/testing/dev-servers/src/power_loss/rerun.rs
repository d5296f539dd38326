//! Power loss in a test: the test runs itself again in a recorded process, kills it, and compares
//! the remaining files with the data that the process reported as synced.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::loss::{Choose, Loss};
use super::recorder::Recorder;

/// Environment variable that marks the recorded process.
const RECORDED_VARIABLE: &str = "POWER_LOSS_RERUN";
/// Prefix of a line that reports synced data.
const KEPT_PREFIX: &str = "kept: ";
/// Maximum lifetime of a recorded process that is not killed.
const MAX_LIFETIME: Duration = Duration::from_secs(60);

/// Checks whether this is the recorded process.
#[must_use]
pub fn is_recorded() -> bool {
    std::env::var_os(RECORDED_VARIABLE).is_some()
}

/// Reports from the recorded process that this data must be on disk from now on.
pub fn kept(what: &str) {
    println!("{KEPT_PREFIX}{what}");
}

/// Blocks the recorded process until it is killed.
pub fn wait_for_the_end() {
    std::thread::sleep(MAX_LIFETIME);
}

/// Runs the calling test, named `test`, again with the folder recorded; kills it after `count`
/// reports, and simulates the power loss. Returns the reports and the loss.
///
/// # Errors
/// If the process ends before `count` reports, or cannot be recorded.
pub fn rerun(
    test: &str,
    root: &Path,
    count: usize,
    choose: Choose<'_>,
) -> Result<(Vec<String>, Loss)> {
    let recorder = Recorder::begin(root)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command
        .env(RECORDED_VARIABLE, "1")
        .envs(recorder.environment());
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("standard output")?;
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    // The test harness prints the test's name before the first report, on the same line.
    let kept = lines.filter_map(|line| Some(line.split_once(KEPT_PREFIX)?.1.to_owned()));
    let kept: Vec<String> = kept.take(count).collect();
    child.kill()?;
    child.wait()?;
    ensure!(kept.len() == count, "the process ended after {kept:?}");
    let loss = recorder.cut(choose, None)?;
    Ok((kept, loss))
}
