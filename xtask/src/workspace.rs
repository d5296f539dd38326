//! Cargo, run from the workspace's root, never outliving an interruption.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// A folder under the target folder.
pub(crate) fn target(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| root().join("target")).join(name)
}

pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(arguments)
        .current_dir(root())
        .kill_on_drop(true);
    command
}

/// Runs it to its end; an interruption ends it first.
///
/// # Errors
/// When it fails or was interrupted.
pub(crate) async fn finish(mut command: Command) -> Result<()> {
    let mut child = command.spawn().context("cannot start cargo")?;
    let status = wait(&mut child).await?;
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}

async fn wait(child: &mut Child) -> Result<ExitStatus> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        status = child.wait() => return Ok(status?),
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    child.start_kill()?;
    child.wait().await?;
    bail!("interrupted")
}
