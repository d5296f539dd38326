//! Section `log`.

use serde::{Deserialize, Serialize};

/// Settings of logs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Format of the lines.
    pub format: LogFormat,
    /// Levels by target, as in `info,bakehouse_engine=debug`.
    pub filter: String,
    /// True if each HTTP request is logged, at level info.
    pub requests: bool,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text.
    Human,
    /// JSON, one object per line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            filter: "info".into(),
            requests: false,
        }
    }
}
