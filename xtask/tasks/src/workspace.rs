//! Cargo, run from the workspace's root, never outliving an interruption.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a test runner may take to end its tests.
const PATIENCE: Duration = Duration::from_secs(15);

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
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

/// Cancelled by Ctrl-C, SIGTERM or a closed terminal. From then on nothing ends
/// this program but itself, so that it can clean up.
pub(crate) fn interruption() -> Result<CancellationToken> {
    let token = CancellationToken::new();
    for kind in [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
    ] {
        let (mut signals, token) = (signal(kind)?, token.clone());
        tokio::spawn(async move {
            signals.recv().await;
            token.cancel();
        });
    }
    Ok(token)
}

/// Runs it to its end; an interruption ends it first, in an orderly way if it can.
///
/// # Errors
/// When it fails or was interrupted.
pub(crate) async fn finish(mut command: Command, interruption: &CancellationToken) -> Result<()> {
    let mut child = command.spawn().context("cannot start cargo")?;
    let status = tokio::select! {
        status = child.wait() => status?,
        () = interruption.cancelled() => {
            terminate(&mut child).await;
            bail!("interrupted");
        }
    };
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}

async fn terminate(child: &mut Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}
