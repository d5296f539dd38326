//! What a torture run needs inside the services: places where they end or stand still, and
//! bugs that are planted to see whether they are found.
//!
//! All of it is behind the feature `torture`, which nothing but tests asks for, and
//! even then asleep until the environment names a place or a bug:
//!
//! - `TORTURE_ABORT_AT=events-writer.appended:3`: the process ends, as by SIGKILL, when
//!   it comes past that place for the third time;
//! - `TORTURE_STOP_AT=orders-manager.executed:3`: it stands still there, as by SIGSTOP;
//! - `TORTURE_PANIC_AT=embedded.written:3`: the thread that is there panics;
//! - `TORTURE_BUG=ack-before-insert`: the bug is in.
//!
//! Without the feature every call here is to a function that does nothing, which the
//! compiler removes.

#[cfg(feature = "torture")]
pub mod bug;
#[cfg(not(feature = "torture"))]
mod disabled;
#[cfg(feature = "torture")]
mod enabled;
#[cfg(feature = "torture")]
mod failpoint;
#[cfg(feature = "torture")]
pub mod mutants;

#[cfg(not(feature = "torture"))]
pub use disabled::*;
#[cfg(feature = "torture")]
pub(crate) use enabled::{baker, interval, manager, notifications, since, writer};
#[cfg(feature = "torture")]
pub use enabled::{entrance, has_clock_positions};
#[cfg(feature = "torture")]
pub use failpoint::point;
