//! Handlers of feed events: read models and process managers.
//!
//! Both are pure functions from an event and some rows to changed rows. They handle the public
//! frames of their own domain or of another service. Rows, effects and the position of the feed
//! are committed together, so that each event takes effect exactly once, even if a process is
//! killed at any point. Reading order of the files:
//!
//! 1. [`feed_event`]: an event of a feed;
//! 2. [`rows`]: rows that a handler reads and changes;
//! 3. [`mod@read_model`]: events to rows for readers; can be rebuilt;
//! 4. [`mod@process`]: events to state, commands and notifications ([`effect`]); never replayed;
//! 5. [`handler`]: common interface of both, for batches of events;
//! 6. [`runner`]: from feeds to stores;
//! 7. [`projector`]: runs a read model under a lease, with generations; [`process_runner`]: runs
//!    a process manager under a lease.
//!
//! [`own_feed`] and [`feeds`] provide the sources of events.

pub mod effect;
pub mod error;
pub mod feed_event;
pub mod feeds;
pub mod handler;
pub mod own_feed;
pub mod process;
pub mod process_runner;
pub mod projector;
pub mod read_model;
pub mod rows;
pub mod runner;

use std::time::Duration;

pub use effect::{Effect, IssuedCommand};
pub use error::HandlerError;
pub use feed_event::FeedEvent;
pub use feeds::Feeds;
pub use handler::{AnyHandler, Handler};
pub use process::{ProcessManager, process};
pub use read_model::{ReadModel, read_model};
pub use rows::Rows;
use tokio::sync::watch;

pub use crate::ports::{Generation, Needs};

/// Settings of handlers.
#[derive(Clone, Debug)]
pub struct HandlerSettings {
    /// Name of this instance.
    pub instance: String,
    /// Interval at which a feed is polled without a notice.
    pub poll_interval: Duration,
    /// Maximum number of events per batch.
    pub max_batch: usize,
    /// Lifetime of a lease without renewal.
    pub lease_ttl: Duration,
}

/// Counter that changes whenever frames of another service arrive.
pub type WakeSignal = watch::Receiver<u64>;
