//! Resolutions: operations by which an operator retries or discards a parked operation. They are
//! logged like other operations, so that the source state stays a function of the log.
//!
//! A resolution takes effect at its own position, for all parked operations of one entity, in
//! order: `RETRY` executes them from the first one on; `DISCARD` rejects the first one and executes
//! the others. It stops at the first operation that fails again.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use super::frame_kind::{DISCARDED, RETRIED};
use crate::{LogEntry, Verb};

/// Payload of a `RETRY` or `DISCARD`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// Id of the first parked operation of the entity. If another one is the first, the resolution
    /// is rejected, so that a repeated resolution has no effect.
    pub operation_id: Uuid,
    /// Reason given by the operator, shown to the sender of a discarded operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Resolution {
    /// Schema version of the payload.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Returns the resolution of a log entry; `None` if it is another operation or invalid.
    #[must_use]
    pub fn of(entry: &LogEntry) -> Option<Self> {
        let operation = &entry.operation;
        let is_resolution = operation.operation.is_resolution();
        is_resolution
            .then(|| serde_json::from_str(operation.payload.get()).ok())
            .flatten()
    }
}

impl Verb {
    /// Checks whether the payload is a [`Resolution`] and not a command of the domain.
    #[must_use]
    pub fn is_resolution(self) -> bool {
        matches!(self, Self::Retry | Self::Discard)
    }

    /// Returns the change name of a resolution that changed no entity.
    pub(crate) fn resolution_change(self) -> &'static str {
        match self {
            Self::Discard => DISCARDED,
            _ => RETRIED,
        }
    }
}
