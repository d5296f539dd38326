//! What the log holds: an accepted operation with its place, times and outcome.

use serde::{Deserialize, Serialize};

use crate::{Moment, Operation, Position, Timestamp};

/// How far an event has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventStatus {
    /// In the log, not yet executed.
    Stored,
    /// Its effect is in the source state.
    Executed,
    /// The domain refused it; the reason is with it.
    Rejected,
}

impl EventStatus {
    /// As stored: `stored`, `executed`, `rejected`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Executed => "executed",
            Self::Rejected => "rejected",
        }
    }

    /// The status of its stored form; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Stored, Self::Executed, Self::Rejected]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// One entry of the log. Written once by events-writer; afterwards only
/// `status`, `execution_time` and `change` or `reason` are set, once, at execution.
#[derive(Clone, Debug)]
pub struct Event {
    /// 1, 2, 3, … without gaps.
    pub position: Position,
    /// When events-writer stored it; never decreases along the positions.
    pub creation_time: Timestamp,
    /// When it was executed or refused.
    pub execution_time: Option<Timestamp>,
    /// How far it has come.
    pub status: EventStatus,
    /// What its execution changed, in a word; see [`crate::Domain::change`].
    pub change: Option<String>,
    /// Why it was refused.
    pub reason: Option<String>,
    /// What was accepted.
    pub operation: Operation,
}

impl Event {
    /// A fresh entry.
    #[must_use]
    pub fn stored(position: Position, creation_time: Timestamp, operation: Operation) -> Self {
        Self {
            position,
            creation_time,
            execution_time: None,
            status: EventStatus::Stored,
            change: None,
            reason: None,
            operation,
        }
    }

    /// Whom it concerns.
    #[must_use]
    pub fn entity_id(&self) -> &str {
        &self.operation.entity_id
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
