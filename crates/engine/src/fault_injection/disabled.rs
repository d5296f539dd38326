//! No-op versions of all hooks, for builds without the feature `fault-injection`.

use std::sync::Arc;
use std::time::Duration;

use crate::Position;
use crate::ports::{Notifications, Scheduler};
use crate::stages::baker::BakerDeps;
use crate::stages::manager::ManagerDeps;
use crate::stages::writer::WriterDeps;

/// Marks a point between two writes; does nothing in this build.
#[inline(always)]
pub fn failpoint(_: &'static str) {}

/// Returns the scheduler unchanged.
#[inline(always)]
#[must_use]
pub fn scheduler(scheduler: Arc<dyn Scheduler>) -> Arc<dyn Scheduler> {
    scheduler
}

/// Returns `false`: positions are counted, never derived from the clock.
#[inline(always)]
#[must_use]
pub fn has_clock_positions() -> bool {
    false
}

#[inline(always)]
pub(crate) fn writer(deps: WriterDeps) -> WriterDeps {
    deps
}

#[inline(always)]
pub(crate) fn manager(deps: ManagerDeps) -> ManagerDeps {
    deps
}

#[inline(always)]
pub(crate) fn baker(deps: BakerDeps) -> BakerDeps {
    deps
}

#[inline(always)]
pub(crate) fn notifications(inner: Arc<dyn Notifications>) -> Arc<dyn Notifications> {
    inner
}

#[inline(always)]
pub(crate) fn interval(interval: Duration) -> Duration {
    interval
}

#[inline(always)]
pub(crate) fn since(since: Position) -> Position {
    since
}
