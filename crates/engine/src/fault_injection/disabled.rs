//! Nothing of it: what a release is built with.

use std::sync::Arc;
use std::time::Duration;

use crate::Position;
use crate::ports::{Notifications, Scheduler};
use crate::stages::baker::BakerDeps;
use crate::stages::manager::ManagerDeps;
use crate::stages::writer::WriterDeps;

/// A place between two writes.
#[inline(always)]
pub fn point(_: &'static str) {}

/// The scheduler as it is.
#[inline(always)]
#[must_use]
pub fn entrance(scheduler: Arc<dyn Scheduler>) -> Arc<dyn Scheduler> {
    scheduler
}

/// Whether positions are made of the time. They are not.
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
