//! Shutdown on signals, within a time limit.

use std::time::Duration;

use bakehouse_engine::Shutdown;
use tokio::signal::unix::{SignalKind, signal};

use crate::output::stderr;

/// Time from a signal until the process exits even if it has not ended. Unfinished work is done
/// after the next start, as after a crash.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// Returns a shutdown that the first SIGTERM or SIGINT triggers. At the second one, or after 8 s,
/// the process exits with code 1.
///
/// # Errors
/// An I/O error if the signal handlers cannot be installed.
pub(crate) fn on_signal() -> std::io::Result<Shutdown> {
    let shutdown = Shutdown::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("shutting down");
        token.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = tokio::time::sleep(SHUTDOWN_TIMEOUT) => {}
        }
        tracing::warn!("shutdown timed out; exiting");
        stderr::flush(stderr::FLUSH_TIMEOUT);
        std::process::exit(1);
    });
    Ok(shutdown)
}
