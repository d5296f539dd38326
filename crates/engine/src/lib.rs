//! The engine: one log of accepted operations, executed in order into a source
//! state, baked into ready-to-read documents, and fed to subscribers.
//!
//! It is generic over a [`Domain`] and knows no database and no broker: every
//! stage talks to the outside through the doors in [`ports`], and only a main
//! chooses who stands behind them. Read the files in the order in which an
//! operation travels:
//!
//! 1. [`operation`]: what api-server accepts and schedules;
//! 2. [`writer`]: the schedule queue into the log;
//! 3. [`event`]: what the log holds;
//! 4. [`manager`] with the pure [`execute`] and [`step`]: the log into the source state,
//!    and [`remedy`] for what got stuck on the way;
//! 5. [`baker`] with the pure [`bake`]: the source state into documents;
//! 6. [`feed`]: what changed, in order, to every subscriber;
//! 7. [`notifier`] and [`courier`]: what changed, to those who are not subscribed;
//! 8. [`follow`]: what read models and process managers make of it;
//! 9. [`synchronous`]: all of that in one transaction, for those who cannot wait.
//!
//! Beside that way stand [`rebuild`]: making anew what stages have made; [`audit`]: whether
//! all of it is true; [`private_files`]: what keeps files on this machine; and [`torture`]: what
//! tests need to make it go wrong.

pub mod audit;
pub mod backoff;
pub mod bake;
pub mod baker;
pub mod chance;
pub mod courier;
pub mod domain;
pub mod entity;
pub mod event;
pub mod execute;
pub mod feed;
pub mod follow;
pub mod frame;
pub mod ids;
pub mod leadership;
pub mod manager;
pub mod notification;
pub mod notifier;
pub mod operation;
pub mod ports;
pub mod private_files;
pub mod probe;
pub mod rebuild;
pub mod remedy;
pub mod stage;
pub mod step;
pub mod synchronous;
pub mod timestamp;
pub mod torture;
pub mod writer;

use std::sync::Arc;

pub use domain::{BlobRef, Domain, Facet, Moment, Rejection, check};
pub use entity::{Entity, EntityRecord};
pub use event::{Event, EventStatus};
pub use frame::Frame;
pub use notification::Notification;
pub use operation::{Operation, Terms, Verb};
pub use remedy::Remedy;
pub use timestamp::Timestamp;

/// JSON text that is passed on as it is: parsed by whoever needs its meaning,
/// copied byte for byte by everybody else. Cloning shares the text.
pub type Json = Arc<serde_json::value::RawValue>;

/// A place in the log: 1, 2, 3, … without gaps. 0 stands before the first event.
pub type Position = u64;

/// Renders a value as [`Json`].
///
/// # Errors
/// When the value has no JSON form (a map key that is not a string, say).
pub fn to_json<T: serde::Serialize>(value: &T) -> Result<Json, serde_json::Error> {
    serde_json::value::to_raw_value(value).map(Json::from)
}

/// Ends a service: every stage stops taking new work, finishes its batch, and returns.
pub type Shutdown = tokio_util::sync::CancellationToken;
