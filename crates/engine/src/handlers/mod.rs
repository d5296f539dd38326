//! What follows feeds: read models, and process managers.
//!
//! Both are pure: a few functions that say what a fact makes of some rows. What
//! they follow are the frames of their own domain, or those of another service:
//! what everybody outside can see. Rows, effects and how far a feed has been
//! followed are committed together, so that a fact counts once, wherever a process
//! is killed. Read the files in this order:
//!
//! 1. [`fact`]: what happened, as a feed tells it;
//! 2. [`rows`]: what a handler sees and changes;
//! 3. [`read_model`]: facts into rows that readers get; it can be built anew;
//! 4. [`process`]: facts into state, commands and notifications; never again on replay;
//! 5. [`handler`]: a run of facts, whichever of the two handles them;
//! 6. [`runner`]: from feeds to stores;
//! 7. [`projector`]: read models by the lease, with generations; [`process_runner`]: processes.

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

use std::sync::Arc;
use std::time::Duration;

pub use feed_event::FeedEvent;
pub use feeds::Feeds;
pub use handler::{Failed, Handler};
pub use process::{Effect, ProcessManager};
pub use read_model::{Generation, ReadModel};
pub use rows::{Needs, Rows};
use tokio::sync::watch;

/// How feeds are followed.
#[derive(Clone, Debug)]
pub struct HandlerSettings {
    /// Name of this instance.
    pub instance: String,
    /// How often a feed is looked at although nobody said that there is something.
    pub sweep_interval: Duration,
    /// Facts a batch at most.
    pub max_batch: usize,
    /// How long a lease lasts without being renewed.
    pub lease_ttl: Duration,
}

/// What is handled: one read model, or one process manager.
pub type AnyHandler = Arc<dyn Handler>;

/// Changes whenever something came from the feed of another service.
pub type WakeSignal = watch::Receiver<u64>;
