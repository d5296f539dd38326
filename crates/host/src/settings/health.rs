//! Settings of health checks.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Health checks.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    /// Address at which services without HTTP of their own answer; none if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<SocketAddr>,
    /// Time after which a stage that has work and does not move makes api-server not ready.
    #[serde(with = "humantime_serde")]
    pub stall_timeout: Duration,
    /// Interval at which the embedded store's file is checked for damaged pages; 0: never.
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
    /// # Errors
    /// A sentence that names the setting and what was expected.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            self.stall_timeout >= Duration::from_secs(1),
            "health.stall_timeout: expected a time of at least 1s"
        );
        Ok(())
    }
}
