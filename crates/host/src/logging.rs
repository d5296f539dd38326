//! Logs on standard error: text on a terminal, JSON lines elsewhere.

use std::io::{IsTerminal, stderr};

use anyhow::{Result, anyhow};
use tracing_subscriber::EnvFilter;

use crate::output::stderr::LogWriter;
use crate::settings::{Log, LogFormat};

/// Filter of libraries whose lines about connections repeat those of the adapters.
const LIBRARIES: &str = "lapin=off,actix_server=warn,mongodb=warn";

/// Checks that the filter can be parsed.
///
/// # Errors
/// When it cannot.
pub(crate) fn check(settings: &Log) -> Result<()> {
    filter(settings).map(|_| ())
}

fn filter(settings: &Log) -> Result<EnvFilter> {
    EnvFilter::try_new(format!("{LIBRARIES},{}", settings.filter)).map_err(|_| {
        anyhow!(
            "log.filter: found `{}`, expected a level such as `info`, or levels by target such as \
             `info,bakehouse_engine=debug`",
            settings.filter
        )
    })
}

/// Starts logging.
///
/// # Errors
/// When the filter cannot be parsed.
pub(crate) fn start(settings: &Log) -> Result<()> {
    let filter = filter(settings)?;
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
