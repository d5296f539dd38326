//! Section `notify`: notifier, and the delivery of notifications on all channels.

use std::time::Duration;

use bakehouse_engine::model::notification::RetryPolicy;
use serde::{Deserialize, Serialize};

/// Settings of notifier.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// Interval at which notifier polls for frames, and for notifications that are due.
    #[serde(with = "humantime_serde", alias = "sweep_interval")]
    pub poll_interval: Duration,
    /// Maximum number of frames in a batch.
    pub max_batch: usize,
    /// Lifetime of the lease: time after which a standby takes over.
    #[serde(with = "humantime_serde")]
    pub lease_ttl: Duration,
    /// Time that one attempt to send may take.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Number of notifications that are sent at the same time, for each channel.
    #[serde(alias = "at_once")]
    pub concurrency: u16,
    /// Time between the first and the second attempt; later ones grow threefold.
    #[serde(with = "humantime_serde", alias = "first_wait")]
    pub initial_backoff: Duration,
    /// Longest time between two attempts.
    #[serde(with = "humantime_serde", alias = "longest_wait")]
    pub max_backoff: Duration,
    /// Age of an event after which its notification is no longer sent.
    #[serde(with = "humantime_serde")]
    pub give_up_after: Duration,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(1),
            max_batch: 500,
            lease_ttl: Duration::from_millis(1_500),
            timeout: Duration::from_secs(15),
            concurrency: 16,
            initial_backoff: Duration::from_secs(5),
            max_backoff: Duration::from_secs(60 * 60),
            give_up_after: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl Notify {
    pub(super) fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            initial_backoff: self.initial_backoff,
            max_backoff: self.max_backoff,
            give_up_after: self.give_up_after,
        }
    }
}
