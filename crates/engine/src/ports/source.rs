//! The source state: the result of executing a prefix of the log.

use std::collections::HashMap;

use async_trait::async_trait;

use super::StoreError;
use crate::{EntityRecord, EntryStatus, LogEntry, Position, Rejection, Timestamp};

/// Read access to the checkpoint and the snapshots of the source state.
#[async_trait]
pub trait Progress: Send + Sync {
    /// Returns the checkpoint of the execution.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn checkpoint(&self) -> Result<Checkpoint, StoreError>;

    /// Returns the latest snapshot of each entity that is not past the position `up_to`, by id.
    /// Entities without such a snapshot are absent.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn snapshots(
        &self,
        ids: &[&str],
        up_to: Position,
    ) -> Result<HashMap<String, EntityRecord>, StoreError>;
}

/// Entities of the source database, and the checkpoint of orders-manager.
#[async_trait]
pub trait SourceStore: Progress {
    /// Loads the existing entities among `ids`, by id. They are at least as new as any checkpoint
    /// that was read before.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn load(&self, ids: &[&str]) -> Result<HashMap<String, EntityRecord>, StoreError>;

    /// Commits an execution atomically: entities, verdicts on the log entries, checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], without any change, when the stored checkpoint differs from
    /// `execution.from`, or an entity is not at its expected position.
    async fn commit(&self, execution: &Execution) -> Result<(), StoreError>;
}

/// Checkpoint of the execution, with the counters that the next entry needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Position up to which all entries have been executed, rejected or parked.
    pub position: Position,
    /// Number of entities, which is the highest entity number.
    pub entities: u64,
    /// Number of parked entries.
    pub parked: u64,
    /// Id of the rebuild that built the live store; 0: it was never rebuilt. A commit that was
    /// based on another generation is fenced.
    pub generation: u64,
}

/// Result of executing a batch of log entries.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Checkpoint before the batch.
    pub from: Checkpoint,
    /// Checkpoint after the batch.
    pub to: Checkpoint,
    /// Time of the execution, stored with the entries.
    pub executed_at: Timestamp,
    /// Changed entities, as of the end of the batch.
    pub entities: Vec<EntityWrite>,
    /// Verdicts of the entries from `from.position + 1` to `to.position`, in order. Stored only on
    /// entries without a verdict.
    pub verdicts: Vec<Verdict>,
    /// Verdicts of resolved entries. Stored only on entries that are still parked.
    pub resolved: Vec<ResolvedEntry>,
    /// Snapshots of entities within the batch. A snapshot that is already stored is equal.
    pub snapshots: Vec<EntityRecord>,
}

/// Parked entry that a resolution resolved, with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedEntry {
    /// Position of the parked entry.
    pub position: Position,
    /// Position of the resolution.
    pub by: Position,
    /// Verdict of the entry: executed or rejected.
    pub verdict: Verdict,
}

/// An entity to write.
#[derive(Clone, Debug)]
pub struct EntityWrite {
    /// New version of the entity.
    pub record: EntityRecord,
    /// Position of the stored entity before the write; `None`: it must not exist.
    pub expected: Option<Position>,
}

/// Verdict of a log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Executed.
    Executed {
        /// Name of the change; see [`crate::Domain::change`].
        change: String,
    },
    /// Rejected by the domain.
    Rejected(Rejection),
    /// Parked.
    Parked {
        /// Reason.
        reason: String,
    },
}

impl Verdict {
    /// Sets status and outcome of a log entry. The caller sets the times and
    /// [`LogEntry::resolved_by`].
    pub fn apply_to(&self, entry: &mut LogEntry) {
        match self {
            Self::Executed { change } => {
                entry.status = EntryStatus::Executed;
                entry.change = Some(change.clone());
            }
            Self::Rejected(rejection) => {
                entry.status = EntryStatus::Rejected;
                entry.reason = Some(rejection.reason.clone());
                entry.code.clone_from(&rejection.code);
            }
            Self::Parked { reason } => {
                entry.status = EntryStatus::Parked;
                entry.parked = Some(reason.clone());
            }
        }
    }
}
