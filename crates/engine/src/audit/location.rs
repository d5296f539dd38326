//! Location of a finding: a position of the log, an entity, or both.

use crate::{LogEntry, Position};

/// Location of a finding.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Location<'a> {
    pub(super) position: Option<Position>,
    pub(super) entity: Option<&'a str>,
}

impl<'a> Location<'a> {
    /// Location of a position of the log.
    pub(super) fn position(position: Position) -> Self {
        Self {
            position: Some(position),
            entity: None,
        }
    }

    /// Location of a log entry and its entity.
    pub(super) fn entry(event: &'a LogEntry) -> Self {
        Self {
            position: Some(event.position),
            entity: Some(event.entity_id()),
        }
    }

    /// Location of an entity.
    pub(super) fn entity(entity: &'a str) -> Self {
        Self {
            position: None,
            entity: Some(entity),
        }
    }

    /// Location of an entity as of a position.
    pub(super) fn entity_at(entity: &'a str, position: Position) -> Self {
        Self {
            position: Some(position),
            entity: Some(entity),
        }
    }
}
