//! Stages: the loops that move operations from the schedule queue to documents and messages.
//!
//! 1. [`writer`]: the schedule queue into the log;
//! 2. [`manager`] with the pure [`execute`] and [`step`]: the log into the source state;
//! 3. [`baker`] with the pure [`bake`]: the source state into documents and frames;
//! 4. [`notifier`] and [`delivery`]: frames into notifications, and those to their recipients.
//!
//! [`runner`] is the loop that they share, [`leadership`] the lease that one of several
//! instances holds.

pub mod bake;
pub mod baker;
pub mod delivery;
pub mod execute;
pub mod leadership;
pub mod manager;
pub mod notifier;
pub mod runner;
pub mod step;
pub mod writer;
