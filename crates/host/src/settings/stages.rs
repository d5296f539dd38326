//! Sections `writer`, `manager` and `baker`: one for each stage.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of events-writer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Writer {
    /// Maximum number of entries in a batch.
    pub max_batch: usize,
}

/// Settings of orders-manager.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manager {
    /// Interval at which the stage polls the log without a notice.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// Maximum number of entries in a batch.
    pub max_batch: usize,
    /// Lifetime of the lease: time after which a standby takes over.
    #[serde(with = "humantime_serde")]
    pub lease_ttl: Duration,
}

/// Settings of data-baker.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Baker {
    /// Interval at which the stage polls for executed operations without a notice.
    #[serde(with = "humantime_serde", alias = "sweep_interval")]
    pub poll_interval: Duration,
    /// Maximum number of entries in a batch.
    pub max_batch: usize,
    /// Lifetime of the lease: time after which a standby takes over.
    #[serde(with = "humantime_serde")]
    pub lease_ttl: Duration,
}

impl Default for Writer {
    fn default() -> Self {
        Self { max_batch: 500 }
    }
}

impl Default for Manager {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_millis(200),
            max_batch: 500,
            lease_ttl: Duration::from_secs(1),
        }
    }
}

impl Default for Baker {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_millis(500),
            max_batch: 500,
            lease_ttl: Duration::from_secs(1),
        }
    }
}
