//! Signals, and an end in time.

use std::time::Duration;

use bakehouse_engine::Shutdown;
use tokio::signal::unix::{SignalKind, signal};

use crate::output::stderr;

/// How long finishing may take after a signal. What is not finished by then is
/// done again after the next start, as after any crash.
const PATIENCE: Duration = Duration::from_secs(8);

/// Cancelled at the first SIGTERM or SIGINT. The second one, or too slow an
/// end, ends the process at once.
///
/// # Errors
/// When signals cannot be listened for.
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
            () = tokio::time::sleep(PATIENCE) => {}
        }
        tracing::warn!("not finished in time, ending at once");
        stderr::flush(stderr::FLUSH_TIMEOUT);
        std::process::exit(1);
    });
    Ok(shutdown)
}
