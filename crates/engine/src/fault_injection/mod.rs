//! Fault injection for tests: failpoints at which a process aborts, stops or panics, and planted
//! bugs that the checkers must detect.
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
//! Without the feature every function of this module does nothing and is compiled away.

#[cfg(feature = "fault-injection")]
pub mod bug;
#[cfg(not(feature = "fault-injection"))]
mod disabled;
#[cfg(feature = "fault-injection")]
mod enabled;
#[cfg(feature = "fault-injection")]
mod failpoint;
#[cfg(feature = "fault-injection")]
pub mod mutants;

#[cfg(not(feature = "fault-injection"))]
pub use disabled::*;
#[cfg(feature = "fault-injection")]
pub(crate) use enabled::{baker, interval, manager, notifications, since, writer};
#[cfg(feature = "fault-injection")]
pub use enabled::{has_clock_positions, scheduler};
#[cfg(feature = "fault-injection")]
pub use failpoint::failpoint;
