//! Section `feed`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of the feed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Feed {
    /// Number of latest frames kept in memory.
    #[serde(alias = "ring")]
    pub buffer_frames: usize,
    /// Interval at which the store is polled for frames without a notice.
    #[serde(with = "humantime_serde", alias = "sweep_interval")]
    pub poll_interval: Duration,
    /// Interval of pings to a subscriber.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// Maximum number of subscribers.
    #[serde(alias = "places")]
    pub max_subscribers: usize,
    /// Maximum number of subscribers of one principal, or address; 0: unlimited.
    #[serde(alias = "places_each")]
    pub max_subscribers_per_client: usize,
    /// Maximum number of websockets that have not sent a token yet; these do not count as
    /// subscribers.
    pub max_unauthenticated: usize,
    /// Maximum number of such websockets of one client address; 0: unlimited.
    pub max_unauthenticated_per_client: usize,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            buffer_frames: 16_384,
            poll_interval: Duration::from_secs(1),
            heartbeat: Duration::from_secs(25),
            max_subscribers: 20_000,
            max_subscribers_per_client: 0,
            max_unauthenticated: 1_000,
            max_unauthenticated_per_client: 100,
        }
    }
}
