//! Fault injection for tests: failpoints at which a process aborts, stops or panics.
//!
//! The feature `fault-injection`, which only tests enable, compiles it in. It stays inactive until
//! the environment selects a failpoint or a bug:
//!
//! - `TORTURE_ABORT_AT=events-writer.appended:3`: the process aborts when it passes that failpoint
//!   for the third time;
//! - `TORTURE_STOP_AT=orders-manager.executed:3`: the process stops there, as by SIGSTOP;
//! - `TORTURE_PANIC_AT=embedded.written:3`: the calling thread panics there;
//! - `TORTURE_BUG=ack-before-insert`: the bug is planted.
//!
//! Planted bugs are decorators of ports. They live in the crate `bakehouse-faults`, and programs
//! put them around the adapters. Three bugs are inside an algorithm that no port separates from
//! its caller, and are switches of [`is_on`]: `since-off-by-one` (position after which a
//! subscriber resumes), `lost-wake-up` (poll interval of a stage) and `clock-positions` (positions
//! that the log of an adapter assigns).
//!
//! Without the feature, [`failpoint()`] does nothing, [`is_on`] is constant, and both are compiled
//! away.

#[cfg(feature = "fault-injection")]
mod failpoint;

#[cfg(feature = "fault-injection")]
pub use failpoint::failpoint;

/// Marks a point between two writes; does nothing in this build.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn failpoint(_: &'static str) {}

/// Returns the name of the bug that the environment plants; reads the variable once per process.
#[cfg(feature = "fault-injection")]
#[must_use]
pub fn planted_bug() -> Option<&'static str> {
    static BUG: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    BUG.get_or_init(|| std::env::var("TORTURE_BUG").ok())
        .as_deref()
}

/// Checks whether the environment plants the bug of this name.
#[cfg(feature = "fault-injection")]
#[must_use]
pub fn is_on(bug: &str) -> bool {
    planted_bug() == Some(bug)
}

/// Returns `false`: no bug is planted in this build.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
#[must_use]
pub const fn is_on(_: &str) -> bool {
    false
}
