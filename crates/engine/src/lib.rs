//! The engine: one log of accepted operations, executed in order into a source state, baked
//! into ready-to-read documents, and fed to subscribers.
//!
//! The engine is generic over a [`Domain`] and depends on no database and no broker: every stage
//! uses the [`ports`], and only a program chooses their adapters. Read the files in the order in
//! which an operation is processed:
//!
//! 1. [`model::operation`]: the operations that api-server accepts and schedules;
//! 2. [`stages::writer`]: stores operations of the schedule queue in the log;
//! 3. [`model::log_entry`]: the entries of the log;
//! 4. [`stages::manager`] with the pure [`stages::execute`] and [`stages::step`]: executes the log
//!    into the source state; [`model::resolution`] retries or discards parked operations;
//! 5. [`stages::baker`] with the pure [`stages::bake`]: turns the source state into documents;
//! 6. [`feed`]: sends changes, in order, to every subscriber;
//! 7. [`stages::notifier`] and [`stages::delivery`]: send notifications of changes;
//! 8. [`handlers`]: read models and process managers;
//! 9. [`single_transaction`]: runs all of these stages in one transaction.
//!
//! Other modules: [`rebuild`], the online rebuild of a stage's output; [`audit`], which compares
//! the stores with the log; [`private_files`], files that only their owner can read; and
//! [`fault_injection`], which only tests enable.

pub mod audit;
pub mod backoff;
pub mod domain;
pub mod domain_check;
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

pub use domain::{BlobRef, Domain, Facet};
pub use domain_check::check;
pub use model::entity::{Entity, EntityRecord};
pub use model::frame::Frame;
pub use model::log_entry::{EntryStatus, LogEntry};
pub use model::moment::Moment;
pub use model::notification::Notification;
pub use model::operation::{Operation, Terms, Verb};
pub use model::rejection::Rejection;
pub use model::resolution::Resolution;
pub use model::timestamp::Timestamp;

/// JSON text that is passed on unchanged: parsed only by code that needs its content, copied
/// byte for byte everywhere else. Clones share the text.
pub type Json = Arc<serde_json::value::RawValue>;

/// Position of an entry in the log: 1, 2, 3, … without gaps. 0 is the position before the first
/// entry.
pub type Position = u64;

/// Renders a value as [`Json`].
///
/// # Errors
/// When the value has no JSON form, such as a map with keys that are not strings.
pub fn to_json<T: serde::Serialize>(value: &T) -> Result<Json, serde_json::Error> {
    serde_json::value::to_raw_value(value).map(Json::from)
}

/// Shutdown signal of a service: every stage stops taking work, finishes its batch, and returns.
pub type Shutdown = tokio_util::sync::CancellationToken;
