//! Entries of the log: accepted operations with position, times and outcome.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::model::frame_kind::{self, PARKED, REJECTED};
use crate::{Moment, Operation, Position, Rejection, Timestamp};

/// Status of a log entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryStatus {
    /// In the log, not yet executed.
    Stored,
    /// Executed: its effect is in the source state.
    Executed,
    /// Rejected by the domain, for the recorded reason.
    Rejected,
    /// Parked: it could be neither executed nor rejected, or an earlier operation of the same
    /// entity is parked. It stays parked until an operator retries or discards it.
    Parked,
}

impl EntryStatus {
    /// Returns the stored form: `stored`, `executed`, `rejected` or `parked`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Executed => "executed",
            Self::Rejected => "rejected",
            Self::Parked => "parked",
        }
    }

    /// Reads the stored form. Returns `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Stored, Self::Executed, Self::Rejected, Self::Parked]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// An entry of the log. Written once by events-writer. Afterwards only the outcome is set: at
/// execution, and for a parked entry again when it is resolved.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// Position: 1, 2, 3, … without gaps.
    pub position: Position,
    /// Time at which events-writer stored it. Never decreases along the positions.
    pub creation_time: Timestamp,
    /// Time at which it was executed or rejected.
    pub execution_time: Option<Timestamp>,
    /// Status.
    pub status: EntryStatus,
    /// Name of the change, if it was executed; see [`crate::Domain::change`].
    pub change: Option<String>,
    /// Reason of the rejection.
    pub reason: Option<String>,
    /// Code of the rejection; see [`Rejection::code`].
    pub code: Option<String>,
    /// Reason why it was parked. Kept after its resolution.
    pub parked: Option<String>,
    /// Position of the [`crate::Resolution`] that resolved it. Its effect is at that position
    /// instead of its own.
    pub resolved_by: Option<Position>,
    /// Accepted operation.
    pub operation: Operation,
}

impl LogEntry {
    /// Creates a new entry with the status [`EntryStatus::Stored`].
    #[must_use]
    pub fn stored(position: Position, creation_time: Timestamp, operation: Operation) -> Self {
        Self {
            position,
            creation_time,
            execution_time: None,
            status: EntryStatus::Stored,
            change: None,
            reason: None,
            code: None,
            parked: None,
            resolved_by: None,
            operation,
        }
    }

    /// Returns the id of the entity.
    #[must_use]
    pub fn entity_id(&self) -> &str {
        &self.operation.entity_id
    }

    /// Checks whether the entry has ever been parked, even if it is resolved now. Such an entry has
    /// no effect at its own position.
    #[must_use]
    pub fn was_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Checks whether the entry was executed at its own position.
    #[must_use]
    pub fn is_executed_in_place(&self) -> bool {
        self.status == EntryStatus::Executed && !self.was_parked()
    }

    /// Returns the rejection. Meaningful only with the status [`EntryStatus::Rejected`].
    #[must_use]
    pub fn rejection(&self) -> Rejection {
        Rejection {
            reason: self.reason.clone().unwrap_or_default(),
            code: self.code.clone(),
        }
    }

    /// Returns the type of the feed frame; `None` without a verdict.
    #[must_use]
    pub fn kind(&self) -> Option<String> {
        let change = match self.status {
            EntryStatus::Stored => None,
            EntryStatus::Executed => self.change.as_deref(),
            EntryStatus::Rejected => Some(REJECTED),
            EntryStatus::Parked => Some(PARKED),
        };
        change.map(|change| frame_kind::kind(&self.operation.service_name, change))
    }

    /// Returns position and time for the domain's functions.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment {
            position: self.position,
            at: self.creation_time,
        }
    }
}

/// Groups log entries by entity. Keeps their order.
pub(crate) fn by_entity(entries: &[LogEntry]) -> HashMap<&str, Vec<&LogEntry>> {
    let mut runs: HashMap<&str, Vec<&LogEntry>> = HashMap::new();
    for entry in entries {
        runs.entry(entry.entity_id()).or_default().push(entry);
    }
    runs
}

/// Returns the ids of the entities that the entries concern, sorted and without duplicates.
pub(crate) fn entity_ids(entries: &[LogEntry]) -> Vec<&str> {
    let mut ids: Vec<&str> = entries.iter().map(LogEntry::entity_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
