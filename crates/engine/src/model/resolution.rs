//! What an operator does about a parked event: an operation like any other, with
//! a place in the log, so that the source state stays a function of the log.
//!
//! A remedy takes effect at its own position, for everything that is parked of
//! one entity, in order: `RETRY` executes from the first on, `DISCARD` gives up
//! the first and executes from the next. It goes on until one gets stuck again.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{LogEntry, Verb};

/// The change that a `RETRY` is which changed no entity.
pub const RETRIED: &str = "retried";
/// The change that a `DISCARD` is which changed no entity.
pub const DISCARDED: &str = "discarded";

/// The payload of a `RETRY` or `DISCARD`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// The operation that is the first parked one of its entity. Should it not
    /// be any more, the remedy is refused: what is done twice is done once.
    pub operation_id: Uuid,
    /// Why, in an operator's words; a discarded operation's sender gets to see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Resolution {
    /// Version of this payload's form.
    pub const SCHEMA_VERSION: u32 = 1;

    /// The remedy that an event is; `None` for one that is none, or unreadable.
    #[must_use]
    pub fn of(event: &LogEntry) -> Option<Self> {
        let operation = &event.operation;
        let is_one = operation.operation.is_resolution();
        is_one
            .then(|| serde_json::from_str(operation.payload.get()).ok())
            .flatten()
    }
}

impl Verb {
    /// Whether its payload is a [`Resolution`] and not the domain's command.
    #[must_use]
    pub fn is_resolution(self) -> bool {
        matches!(self, Self::Retry | Self::Discard)
    }

    /// What a remedy changed, in a word, if it changed no entity.
    pub(crate) fn resolution_change(self) -> &'static str {
        match self {
            Self::Discard => DISCARDED,
            _ => RETRIED,
        }
    }
}
