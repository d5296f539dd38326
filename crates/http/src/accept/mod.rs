//! Acceptance of operations: from a request to a durable operation and its 202.
//!
//! - `identity`: operation ids, idempotency keys and correlation ids;
//! - `in_flight`: serialization of concurrent requests under one idempotency key;
//! - `change`: changes of an existing entity;
//! - `expected_version`: version that a change must be executed on;
//! - `submission`: publication to the schedule queue;
//! - `accept_and_wait`: responses to `Prefer: wait`, with the operation's outcome.

mod accept_and_wait;
mod change;
mod expected_version;
mod identity;
mod in_flight;
mod submission;

pub use accept_and_wait::{accept_and_wait, repeat_and_wait};
pub use change::Change;
pub use expected_version::expected_version;
pub use identity::Identity;
pub(crate) use identity::{correlation_id, given_correlation_id};
pub(crate) use in_flight::InFlight;
pub use submission::{Submission, accept, with_id};
