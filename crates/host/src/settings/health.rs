//! Section `health`: health checks.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Settings of health checks.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// Address of the health checks of services without an API; unset: they have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<SocketAddr>,
    /// Time after which a stage that has work and makes no progress makes the server not ready.
    #[serde(with = "humantime_serde")]
    pub stall_timeout: Duration,
    /// Interval of the check of the embedded store's file for damaged pages; 0: never.
    #[serde(with = "humantime_serde")]
    pub integrity_interval: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            bind: None,
            stall_timeout: Duration::from_secs(30),
            integrity_interval: Duration::from_secs(10),
        }
    }
}

impl Health {
    /// Checks what the types of the settings cannot express.
    ///
    /// # Errors
    /// An error that names the setting and the expected value.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            self.stall_timeout >= Duration::from_secs(1),
            "health.stall_timeout: expected a time of at least 1s"
        );
        Ok(())
    }
}
