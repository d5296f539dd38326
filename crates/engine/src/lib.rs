//! The engine: one log of accepted operations, executed in order into a source state, baked
//! into ready-to-read documents, and fed to subscribers.
//!
//! It is generic over a [`Domain`] and knows no database and no broker: every stage talks to
//! the outside through the [`ports`], and only a program chooses their adapters. Read the files
//! in the order in which an operation travels:
//!
//! 1. [`model::operation`]: what api-server accepts and schedules;
//! 2. [`stages::writer`]: the schedule queue into the log;
//! 3. [`model::log_entry`]: what the log holds;
//! 4. [`stages::manager`] with the pure [`stages::execute`] and [`stages::step`]: the log into
//!    the source state, and [`model::resolution`] for parked operations;
//! 5. [`stages::baker`] with the pure [`stages::bake`]: the source state into documents;
//! 6. [`feed`]: changes, in order, to every subscriber;
//! 7. [`stages::notifier`] and [`stages::delivery`]: notifications of changes;
//! 8. [`handlers`]: read models and process managers;
//! 9. [`single_transaction`]: all of that in one transaction.
//!
//! Beside them stand [`rebuild`], the online rebuild of a stage's output; [`audit`], which
//! compares what is stored with the log; [`private_files`], for files of this machine; and
//! [`fault_injection`], which only tests turn on.

pub mod audit;
pub mod backoff;
pub mod domain;
pub mod fault_injection;
pub mod feed;
pub mod handlers;
pub mod jitter;
pub mod model;
pub mod ports;
pub mod private_files;
pub mod probe;
pub mod rebuild;
pub mod single_transaction;
pub mod stages;

use std::sync::Arc;

pub use domain::{BlobRef, Domain, Facet, Moment, Rejection, check};
pub use model::entity::{Entity, EntityRecord};
pub use model::frame::Frame;
pub use model::log_entry::{EntryStatus, LogEntry};
pub use model::notification::Notification;
pub use model::operation::{Operation, Terms, Verb};
pub use model::resolution::Resolution;
pub use model::timestamp::Timestamp;

/// JSON text that is passed on unchanged: parsed only by code that needs its meaning, copied
/// byte for byte everywhere else. Cloning shares the text.
pub type Json = Arc<serde_json::value::RawValue>;

/// Place of an entry in the log: 1, 2, 3, … without gaps. 0 is the position before the first
/// entry.
pub type Position = u64;

/// Renders a value as [`Json`].
///
/// # Errors
/// When the value has no JSON form (a map key that is not a string, say).
pub fn to_json<T: serde::Serialize>(value: &T) -> Result<Json, serde_json::Error> {
    serde_json::value::to_raw_value(value).map(Json::from)
}

/// Signal to end a service: every stage takes no more work, finishes its batch, and returns.
pub type Shutdown = tokio_util::sync::CancellationToken;
