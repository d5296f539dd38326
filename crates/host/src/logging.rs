//! Logs on standard error: text on a terminal, JSON lines elsewhere; and the error of a service
//! at its exit, in the same format.

use std::io::{IsTerminal, stderr};

use anyhow::{Result, anyhow};
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use crate::output::stderr::LogWriter;
use crate::settings::{Log, LogFormat};

/// Filter of libraries whose log lines about connections repeat those of the adapters.
const LIBRARIES: &str = "lapin=off,actix_server=warn,mongodb=warn";

/// Format of log lines in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFormat {
    /// Text.
    Text,
    /// JSON, one object per line.
    Json,
}

/// Error of a service at its exit, as a JSON line.
#[derive(Serialize)]
struct ErrorLine<'a> {
    level: &'static str,
    service: &'a str,
    message: &'a str,
}

/// Checks that `log.filter` can be parsed.
///
/// # Errors
/// An error if it cannot.
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

/// Starts logging, and returns the format of its lines.
///
/// # Errors
/// An error if `log.filter` cannot be parsed.
pub(crate) fn start(settings: &Log) -> Result<LineFormat> {
    let filter = filter(settings)?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // The writer never fails. A formatting error would be printed to standard error, which
        // panics if that is closed.
        .log_internal_errors(false)
        .with_writer(|| LogWriter);
    let is_terminal = stderr().is_terminal();
    let format = match settings.format {
        LogFormat::Auto if is_terminal => LineFormat::Text,
        LogFormat::Human => LineFormat::Text,
        LogFormat::Auto | LogFormat::Json => LineFormat::Json,
    };
    match format {
        LineFormat::Text => subscriber.with_ansi(is_terminal).with_target(false).init(),
        LineFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(format)
}

/// Formats an error that ends a service.
pub(crate) fn error_line(service: &str, error: &anyhow::Error, format: LineFormat) -> String {
    let message = format!("{error:#}");
    let text = format!("{service}: {message}");
    match format {
        LineFormat::Text => text,
        LineFormat::Json => serde_json::to_string(&ErrorLine {
            level: "ERROR",
            service,
            message: &message,
        })
        .unwrap_or(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_format_of_log_lines() {
        let error = anyhow!("no such \"file\"").context("data_dir");
        let line = |format| error_line("bakehouse", &error, format);
        let text = "bakehouse: data_dir: no such \"file\"";
        assert_eq!(line(LineFormat::Text), text);
        let json =
            r#"{"level":"ERROR","service":"bakehouse","message":"data_dir: no such \"file\""}"#;
        assert_eq!(line(LineFormat::Json), json);
    }
}
