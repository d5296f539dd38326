//! Stages: the loops that process operations from the schedule queue to documents and messages.
//!
//! 1. [`writer`]: stores operations of the schedule queue in the log;
//! 2. [`manager`] with the pure [`execute`] and [`step`]: executes the log into the source state;
//! 3. [`baker`] with the pure [`bake`]: turns the source state into documents and frames;
//! 4. [`notifier`] and [`delivery`]: record notifications of frames, and send them.
//!
//! [`runner`] is the loop that the stages share; [`leadership`] elects the one instance that works.

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
