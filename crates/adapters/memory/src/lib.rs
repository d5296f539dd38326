//! Implementation of the store ports in memory, for tests of the engine, and notices between the
//! stages of one process.

mod inspect;
mod log;
mod notices;
mod notifications;
mod presentation;
mod rebuilds;
mod rows;
mod schedule;
mod source;

pub use inspect::MemorySourceInspector;
pub use log::MemoryLog;
pub use notices::InProcessNotices;
pub use notifications::MemoryNotifications;
pub use presentation::MemoryPresentation;
pub use rows::MemoryRows;
pub use schedule::{MemoryConsumer, MemoryScheduler, schedule_queue};
pub use source::{MemoryLeases, MemorySource};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex even if a panic has poisoned it, so that a failed test causes no other failures.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
