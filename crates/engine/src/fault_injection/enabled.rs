//! The bug of this process, if the environment names one, at each of its doors.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::bug::Bug;
use super::mutants::{WrongEntrance, WrongExit, WrongNotices, WrongNotifications, wrong};
use crate::Position;
use crate::ports::{Notifications, Scheduler};
use crate::stages::baker::BakerDeps;
use crate::stages::manager::ManagerDeps;
use crate::stages::writer::WriterDeps;

const VARIABLE: &str = "TORTURE_BUG";
/// As good as never.
const NEVER: Duration = Duration::from_secs(1_000_000);

/// # Panics
/// When the environment names what is no bug: it would not be found, and that would
/// look like a checker that is blind.
fn bug() -> Option<Bug> {
    static BUG: OnceLock<Option<Bug>> = OnceLock::new();
    *BUG.get_or_init(|| {
        let name = std::env::var(VARIABLE).ok()?;
        Some(name.parse().expect("TORTURE_BUG names a bug"))
    })
}

/// Where operations are handed in.
#[must_use]
pub fn entrance(inner: Arc<dyn Scheduler>) -> Arc<dyn Scheduler> {
    match bug() {
        Some(bug) => Arc::new(WrongEntrance { inner, bug }),
        None => inner,
    }
}

/// Whether positions are made of the time.
#[must_use]
pub fn has_clock_positions() -> bool {
    bug() == Some(Bug::ClockPositions)
}

pub(crate) fn writer(mut deps: WriterDeps) -> WriterDeps {
    let Some(bug) = bug() else { return deps };
    deps.queue = Box::new(WrongExit {
        inner: deps.queue,
        bug,
    });
    deps.log = wrong(deps.log, Some(bug));
    deps.notices = WrongNotices::around(deps.notices, bug);
    deps
}

pub(crate) fn manager(mut deps: ManagerDeps) -> ManagerDeps {
    let Some(bug) = bug() else { return deps };
    deps.source = wrong(deps.source, Some(bug));
    deps.leases = wrong(deps.leases, Some(bug));
    deps.notices = WrongNotices::around(deps.notices, bug);
    deps
}

pub(crate) fn baker(mut deps: BakerDeps) -> BakerDeps {
    let Some(bug) = bug() else { return deps };
    deps.presentation = wrong(deps.presentation, Some(bug));
    deps.leases = wrong(deps.leases, Some(bug));
    deps.notices = WrongNotices::around(deps.notices, bug);
    deps
}

pub(crate) fn notifications(inner: Arc<dyn Notifications>) -> Arc<dyn Notifications> {
    match bug() {
        Some(Bug::SettledBeforeSent) => Arc::new(WrongNotifications { inner }),
        _ => inner,
    }
}

pub(crate) fn interval(interval: Duration) -> Duration {
    match bug() {
        Some(Bug::LostWakeUp) => NEVER,
        _ => interval,
    }
}

/// Where a subscriber goes on who has seen everything up to a position.
pub(crate) fn since(since: Position) -> Position {
    match bug() {
        Some(Bug::SinceOffByOne) if since > 0 => since + 1,
        _ => since,
    }
}
