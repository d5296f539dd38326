//! Faults around the ports of the engine, for tests.
//!
//! - [`intercept`]: the one mechanism of all port decorators. An [`Interceptor`] overrides the
//!   calls it changes; all others are forwarded. [`ports`] lists the calls of each port.
//! - [`flaky`]: stores that fail before or after a call, answer late, or pause their caller.

pub mod flaky;
pub mod intercept;
pub mod ports;

pub use flaky::{Faults, Flaky};
pub use intercept::{Intercepted, Interceptor};
