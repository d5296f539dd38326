//! What tests are made of: conformance suites that every adapter passes, and a
//! tiny domain to drive the engine with.
//!
//! A suite is a macro. Given a name and an async expression that makes a fresh
//! store, it writes one test per rule of the door, so that a failure names the
//! rule:
//!
//! ```ignore
//! bakehouse_testkit::event_log_suite!(memory_log, async { MemoryLog::default() });
//! ```
// A test kit says "this must not happen" by panicking.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

pub mod cases;
pub mod conformance;
pub mod counter;
pub mod feed_sources;
pub mod flaky;
pub mod handler_runners;
pub mod mangle;
pub mod operations;
pub mod scenario;
