//! Test kit: conformance suites that every adapter passes, stores that fail, given/when/then tests,
//! and a small domain to drive the engine with.
//!
//! A suite is a macro. Given a module name and an async expression that returns a fresh store, it
//! generates one test per rule of the port, so that a failure names the rule:
//!
//! ```ignore
//! bakehouse_testkit::event_log_suite!(memory_log, async { MemoryLog::default() });
//! ```
// A test kit reports violations by panicking.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

pub mod cases;
pub mod conformance;
pub mod counter;
pub mod feed_sources;
pub mod fuzz_input;
pub mod handler_runners;
pub mod operations;
pub mod scenario;
