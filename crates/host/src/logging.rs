//! Logs: to standard error, for people on a terminal, as JSON lines elsewhere.

use std::io::{IsTerminal, stderr};

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

use crate::output::stderr::LogWriter;
use crate::settings::{Log, LogFormat};

/// What libraries say about connections that come and go is said by the
/// adapters already, in a line each.
const LIBRARIES: &str = "lapin=off,actix_server=warn,mongodb=warn";

/// Starts logging.
///
/// # Errors
/// When the filter cannot be read.
pub(crate) fn start(settings: &Log) -> Result<()> {
    let filter = EnvFilter::try_new(format!("{LIBRARIES},{}", settings.filter))
        .with_context(|| format!("log.filter: {:?} is no filter", settings.filter))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // The writer never fails; formatting that does must not panic on a closed stderr.
        .log_internal_errors(false)
        .with_writer(|| LogWriter);
    let human = match settings.format {
        LogFormat::Auto => stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    if human {
        subscriber
            .with_ansi(stderr().is_terminal())
            .with_target(false)
            .init();
    } else {
        subscriber.json().flatten_event(true).init();
    }
    Ok(())
}
