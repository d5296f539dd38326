//! Plants the bug that the environment names, if any, in the dependencies of the stages.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::bug::Bug;
use super::mutants::{
    ConsumerMutant, NoticesMutant, NotificationsMutant, SchedulerMutant, with_bug,
};
use crate::Position;
use crate::ports::{Notifications, Scheduler};
use crate::stages::baker::BakerDeps;
use crate::stages::manager::ManagerDeps;
use crate::stages::writer::WriterDeps;

/// Environment variable that names the planted bug.
const BUG_VARIABLE: &str = "TORTURE_BUG";
/// Poll interval that no test run reaches.
const NEVER: Duration = Duration::from_secs(1_000_000);

/// Returns the bug that the environment names; reads the variable once per process.
///
/// # Panics
/// If the variable names no known bug. Ignoring it would make the checker look blind.
fn bug() -> Option<Bug> {
    static BUG: OnceLock<Option<Bug>> = OnceLock::new();
    *BUG.get_or_init(|| {
        let name = std::env::var(BUG_VARIABLE).ok()?;
        Some(name.parse().expect("TORTURE_BUG: unknown bug"))
    })
}

/// Returns the scheduler that requests are handed to, with the planted bug if there is one.
#[must_use]
pub fn scheduler(inner: Arc<dyn Scheduler>) -> Arc<dyn Scheduler> {
    match bug() {
        Some(bug) => Arc::new(SchedulerMutant { inner, bug }),
        None => inner,
    }
}

/// Checks whether positions are derived from the clock.
#[must_use]
pub fn has_clock_positions() -> bool {
    bug() == Some(Bug::ClockPositions)
}

pub(crate) fn writer(mut deps: WriterDeps) -> WriterDeps {
    let Some(bug) = bug() else { return deps };
    deps.queue = Box::new(ConsumerMutant {
        inner: deps.queue,
        bug,
    });
    deps.log = with_bug(deps.log, Some(bug));
    deps.notices = NoticesMutant::wrap(deps.notices, bug);
    deps
}

pub(crate) fn manager(mut deps: ManagerDeps) -> ManagerDeps {
    let Some(bug) = bug() else { return deps };
    deps.source = with_bug(deps.source, Some(bug));
    deps.leases = with_bug(deps.leases, Some(bug));
    deps.notices = NoticesMutant::wrap(deps.notices, bug);
    deps
}

pub(crate) fn baker(mut deps: BakerDeps) -> BakerDeps {
    let Some(bug) = bug() else { return deps };
    deps.presentation = with_bug(deps.presentation, Some(bug));
    deps.leases = with_bug(deps.leases, Some(bug));
    deps.notices = NoticesMutant::wrap(deps.notices, bug);
    deps
}

pub(crate) fn notifications(inner: Arc<dyn Notifications>) -> Arc<dyn Notifications> {
    match bug() {
        Some(Bug::SettledBeforeSent) => Arc::new(NotificationsMutant { inner }),
        _ => inner,
    }
}

pub(crate) fn interval(interval: Duration) -> Duration {
    match bug() {
        Some(Bug::LostWakeUp) => NEVER,
        _ => interval,
    }
}

/// Returns the position after which a subscriber resumes that has seen everything up to `since`.
pub(crate) fn since(since: Position) -> Position {
    match bug() {
        Some(Bug::SinceOffByOne) if since > 0 => since + 1,
        _ => since,
    }
}
