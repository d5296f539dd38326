//! Faults around the ports of the engine, for tests: planted bugs and failing stores.
//!
//! - [`mod@intercept`]: the one mechanism of all port decorators. An [`Interceptor`] overrides the
//!   calls it changes; all others are forwarded. [`ports`] lists the calls of each port.
//! - [`bug`] and [`mutants`]: bugs that are planted to check that the tests find them, and the
//!   decorators that contain them. [`plant()`] puts one around the dependencies of a stage.
//! - [`flaky`]: stores that fail before or after a call, answer late, or pause their caller.
//!
//! Programs link this crate only with the feature `fault-injection` of the host. Nothing in it is part of
//! a release.

pub mod bug;
pub mod flaky;
pub mod intercept;
pub mod mutants;
mod plant;
pub mod ports;

pub use bug::Bug;
pub use flaky::{Faults, Flaky};
pub use intercept::{Intercepted, Interceptor};
pub use plant::{Plant, plant, plant_from_environment};
