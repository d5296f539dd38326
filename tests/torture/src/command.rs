//! Programs that are run to completion, such as `mount`.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs a program and waits for its end.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}", stderr.trim());
    Ok(())
}
