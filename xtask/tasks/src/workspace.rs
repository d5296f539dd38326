//! Cargo commands in the root of the workspace, which end when they are interrupted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Time within which a command must end after SIGTERM.
const TERMINATE_TIMEOUT: Duration = Duration::from_secs(15);

/// Returns the root of the workspace.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// Returns a path in the target folder.
pub(crate) fn target(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| root().join("target")).join(name)
}

/// Creates a cargo command that runs in the root and is killed when dropped.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(arguments)
        .current_dir(root())
        .kill_on_drop(true);
    command
}

/// Returns a token that Ctrl-C, SIGTERM and a closed terminal cancel. These signals do not end the
/// program any more, so that it can clean up.
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

/// Runs a command and waits for its end. An interruption terminates it.
///
/// # Errors
/// When it fails or was interrupted.
pub(crate) async fn finish(mut command: Command, interruption: &CancellationToken) -> Result<()> {
    let mut child = command.spawn().context("cannot start the command")?;
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
    if tokio::time::timeout(TERMINATE_TIMEOUT, child.wait())
        .await
        .is_err()
    {
        let _ = child.kill().await;
    }
}
