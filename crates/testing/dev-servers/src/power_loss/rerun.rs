//! A test as the process whose power goes: it runs itself once more, recorded, in a process of
//! its own, and looks at what is left of what that one said it had kept.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Choose, Loss, Recorder};

/// Set in the recorded process.
const MARK: &str = "POWER_LOSS_RERUN";
/// Prefix of the line that names something that was kept.
const KEPT: &str = "kept: ";
/// Longest life of a recorded process that nobody ends.
const LONGEST_LIFE: Duration = Duration::from_secs(60);

/// Tells whether this is the recorded process.
#[must_use]
pub fn is_recorded() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Says, in the recorded process, that something must be on disk from now on.
pub fn kept(what: &str) {
    println!("{KEPT}{what}");
}

/// Stands still, in the recorded process, until it is killed.
pub fn wait_for_the_end() {
    std::thread::sleep(LONGEST_LIFE);
}

/// Runs the calling test, of this name, once more with the folder recorded; kills it when it has
/// kept so many things, and cuts the power: what it had kept, and the loss.
///
/// # Errors
/// When it ends before that, or cannot be recorded.
pub fn rerun(
    test: &str,
    root: &Path,
    count: usize,
    choose: Choose<'_>,
) -> Result<(Vec<String>, Loss)> {
    let recorder = Recorder::begin(root)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(MARK, "1").envs(recorder.environment());
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("standard output")?;
    let lines = BufReader::new(output).lines().map_while(Result::ok);
    // The harness writes the test's name before the first of them, without a new line.
    let kept = lines.filter_map(|line| Some(line.split_once(KEPT)?.1.to_owned()));
    let kept: Vec<String> = kept.take(count).collect();
    child.kill()?;
    child.wait()?;
    ensure!(kept.len() == count, "it kept no more than {kept:?}");
    let loss = recorder.cut(choose, None)?;
    Ok((kept, loss))
}
