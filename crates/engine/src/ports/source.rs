//! The source state: what executing the log's prefix has led to.

use std::collections::HashMap;

use async_trait::async_trait;

use super::StoreError;
use crate::{EntityRecord, EntryStatus, LogEntry, Position, Rejection, Timestamp};

/// How far orders-manager has come and how entities were on the way, for it and for those
/// who only read.
#[async_trait]
pub trait Progress: Send + Sync {
    /// How far the log has been executed.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn checkpoint(&self) -> Result<Checkpoint, StoreError>;

    /// Of each of these entities the latest snapshot that is not past a position, if
    /// there is one.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn snapshots(
        &self,
        ids: &[&str],
        up_to: Position,
    ) -> Result<HashMap<String, EntityRecord>, StoreError>;
}

/// The source database's entities, and orders-manager's checkpoint.
#[async_trait]
pub trait SourceStore: Progress {
    /// Those of the entities that exist, by id; at least as new as any
    /// checkpoint read before.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn load(&self, ids: &[&str]) -> Result<HashMap<String, EntityRecord>, StoreError>;

    /// All of the execution or nothing: entities, marks on the events, checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], and nothing written, when the checkpoint is not
    /// the one that the execution starts from, or an entity is not at the
    /// position that it expects.
    async fn commit(&self, execution: &Execution) -> Result<(), StoreError>;
}

/// How far the log has been executed, and what must be remembered for the next event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Every event up to here has been executed, refused or parked.
    pub position: Position,
    /// How many entities exist: the highest number given.
    pub entities: u64,
    /// How many events are parked.
    pub parked: u64,
    /// The round in which what is read was made anew; 0: it never was. What was read of
    /// one generation is not committed to another.
    pub generation: u64,
}

/// The effect of executing a run of events.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Where it starts.
    pub from: Checkpoint,
    /// Where it ends.
    pub to: Checkpoint,
    /// When it happened; put on the events.
    pub executed_at: Timestamp,
    /// Entities as they are after it.
    pub entities: Vec<EntityWrite>,
    /// What became of each event from `from.position + 1` to `to.position`, in
    /// order. Put only on events that have no verdict yet.
    pub verdicts: Vec<Verdict>,
    /// What became of events that were parked. Put only on those that still are.
    pub settlements: Vec<Settlement>,
    /// Entities as they were on the way, to be kept beside what they are; one that
    /// is kept already is the same.
    pub snapshots: Vec<EntityRecord>,
}

/// The end of an event's being parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Of the event.
    pub position: Position,
    /// Of the remedy that led to it.
    pub by: Position,
    /// What became of the event: executed or refused.
    pub verdict: Verdict,
}

/// An entity to be written.
#[derive(Clone, Debug)]
pub struct EntityWrite {
    /// As it is to be.
    pub record: EntityRecord,
    /// The position at which it must stand before; `None`: it must not exist.
    pub expected: Option<Position>,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was executed.
    Executed {
        /// What changed, in a word; see [`crate::Domain::change`].
        change: String,
    },
    /// It was refused.
    Rejected(Rejection),
    /// It was set aside.
    Parked {
        /// Why.
        reason: String,
    },
}

impl Verdict {
    /// Puts it on the event; the times and [`LogEntry::settled_by`] are the caller's.
    pub fn put_on(&self, event: &mut LogEntry) {
        match self {
            Self::Executed { change } => {
                event.status = EntryStatus::Executed;
                event.change = Some(change.clone());
            }
            Self::Rejected(rejection) => {
                event.status = EntryStatus::Rejected;
                event.reason = Some(rejection.reason.clone());
                event.code.clone_from(&rejection.code);
            }
            Self::Parked { reason } => {
                event.status = EntryStatus::Parked;
                event.parked = Some(reason.clone());
            }
        }
    }
}
