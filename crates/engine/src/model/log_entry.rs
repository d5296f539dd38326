//! What the log holds: an accepted operation with its place, times and outcome.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::model::frame;
use crate::{Moment, Operation, Position, Rejection, Timestamp};

/// How far an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryStatus {
    /// In the log, not yet executed.
    Stored,
    /// Its effect is in the source state.
    Executed,
    /// The domain refused it; the reason is with it.
    Rejected,
    /// It could be neither executed nor refused, or stands behind one that
    /// could not: set aside until an operator says what is to become of it.
    Parked,
}

impl EntryStatus {
    /// As stored: `stored`, `executed`, `rejected`, `parked`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Executed => "executed",
            Self::Rejected => "rejected",
            Self::Parked => "parked",
        }
    }

    /// The status of its stored form; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Stored, Self::Executed, Self::Rejected, Self::Parked]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// One entry of the log. Written once by events-writer; afterwards only its
/// outcome is set: at execution, and for a parked one once more when it is settled.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// 1, 2, 3, … without gaps.
    pub position: Position,
    /// When events-writer stored it; never decreases along the positions.
    pub creation_time: Timestamp,
    /// When it was executed or refused.
    pub execution_time: Option<Timestamp>,
    /// How far it has come.
    pub status: EntryStatus,
    /// What its execution changed, in a word; see [`crate::Domain::change`].
    pub change: Option<String>,
    /// Why it was refused.
    pub reason: Option<String>,
    /// What kind of refusal that is; see [`Rejection::code`].
    pub code: Option<String>,
    /// Why it was parked; stays when it is settled.
    pub parked: Option<String>,
    /// The position of the [`crate::Resolution`] that settled it after it had been
    /// parked: where its effect stands, instead of at its own position.
    pub settled_by: Option<Position>,
    /// What was accepted.
    pub operation: Operation,
}

impl LogEntry {
    /// A fresh entry.
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
            settled_by: None,
            operation,
        }
    }

    /// Whom it concerns.
    #[must_use]
    pub fn entity_id(&self) -> &str {
        &self.operation.entity_id
    }

    /// Whether it has been parked, settled since or not: at its own position it
    /// has no effect.
    #[must_use]
    pub fn was_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Whether, at its own position, it has been executed.
    #[must_use]
    pub fn is_executed_in_place(&self) -> bool {
        self.status == EntryStatus::Executed && !self.was_parked()
    }

    /// Why it was refused, if it was.
    #[must_use]
    pub fn rejection(&self) -> Rejection {
        Rejection {
            reason: self.reason.clone().unwrap_or_default(),
            code: self.code.clone(),
        }
    }

    /// What happened, as the feed calls it; `None` before it has.
    #[must_use]
    pub fn kind(&self) -> Option<String> {
        let change = match self.status {
            EntryStatus::Stored => None,
            EntryStatus::Executed => self.change.as_deref(),
            EntryStatus::Rejected => Some(frame::REJECTED),
            EntryStatus::Parked => Some(frame::PARKED),
        };
        change.map(|change| frame::kind(&self.operation.service_name, change))
    }

    /// Its place and time for the domain's functions.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment {
            position: self.position,
            at: self.creation_time,
        }
    }
}

/// The events of each entity, in order.
pub(crate) fn by_entity(events: &[LogEntry]) -> HashMap<&str, Vec<&LogEntry>> {
    let mut runs: HashMap<&str, Vec<&LogEntry>> = HashMap::new();
    for event in events {
        runs.entry(event.entity_id()).or_default().push(event);
    }
    runs
}

/// Whom the events concern, each once.
pub(crate) fn entity_ids(events: &[LogEntry]) -> Vec<&str> {
    let mut ids: Vec<&str> = events.iter().map(LogEntry::entity_id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
