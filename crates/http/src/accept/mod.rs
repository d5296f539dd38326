//! Accepting: from a request to an operation that is durable, and its 202.
//!
//! - `identity`: what the operation is known by, for ever;
//! - `in_flight`: two requests under one key at the same time;
//! - `change`: of something that is there already;
//! - `submission`: into the schedule queue;
//! - `outcome`: for those who prefer to wait, what came of it.

mod accept_and_wait;
mod change;
mod identity;
mod in_flight;
mod submission;

pub use accept_and_wait::{accept_and_wait, repeat_and_wait};
pub use change::{Change, expected_version};
pub use identity::Identity;
pub(crate) use identity::correlation_id;
pub(crate) use in_flight::InFlight;
pub use submission::{Submission, accept, with_id};
