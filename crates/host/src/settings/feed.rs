//! Settings of the feed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The feed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Feed {
    /// How many of the latest frames are kept in memory.
    pub ring: usize,
    /// How often the store is looked at although nobody told it to.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// How often a client is pinged.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How many may follow at the same time.
    pub places: usize,
    /// How many of one principal, or address; 0: any.
    pub places_each: usize,
    /// Websockets that have yet to show a token, apart from those.
    pub max_unauthenticated: usize,
    /// Those of one client address; 0: any.
    pub max_unauthenticated_per_client: usize,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            ring: 16_384,
            sweep_interval: Duration::from_secs(1),
            heartbeat: Duration::from_secs(25),
            places: 20_000,
            places_each: 0,
            max_unauthenticated: 1_000,
            max_unauthenticated_per_client: 100,
        }
    }
}
