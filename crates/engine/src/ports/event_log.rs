//! The log: all accepted operations in one order.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Selection, StoreError, SummaryQuery};
use crate::{LogEntry, Operation, Position, Timestamp};

/// The log of the source database, stored in `events`.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends operations durably at the next positions, in the given order. Returns one result for
    /// each, in the same order. Several writers may call this concurrently: positions have no gaps,
    /// and the order of each writer is kept.
    ///
    /// `creation_time` is `now`, or that of the previous entry if it is later, because the clocks
    /// of writers differ and can be set back.
    ///
    /// # Errors
    /// When the append could not be confirmed; some operations may be stored. Repeating is safe.
    async fn append_at(
        &self,
        operations: &[Operation],
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError>;

    /// Appends operations with the time of this machine's clock; see [`EventLog::append_at`].
    ///
    /// # Errors
    /// When the append could not be confirmed; some operations may be stored. Repeating is safe.
    async fn append(&self, operations: &[Operation]) -> Result<Vec<Appended>, StoreError> {
        self.append_at(operations, Timestamp::now()).await
    }

    /// Reads the durable entries after a position, in order, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Hole`] when a position is missing.
    async fn read(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError>;

    /// Reads all entries of one entity after a position, up to and including another, in order.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn history(
        &self,
        entity_id: &str,
        after: Position,
        up_to: Position,
    ) -> Result<Vec<LogEntry>, StoreError>;

    /// Finds the entry of an operation.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn find(&self, operation_id: Uuid) -> Result<Option<LogEntry>, StoreError>;

    /// Reads a page of entries without payloads (see [`super::no_payload`]), in order. Uses an
    /// index, so that only matching entries are read.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn summaries(&self, query: &SummaryQuery<'_>) -> Result<Vec<LogEntry>, StoreError>;

    /// Finds the entry of an operation, without its payload.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn summary(&self, operation_id: Uuid) -> Result<Option<LogEntry>, StoreError> {
        let operations = [operation_id];
        let query = SummaryQuery::first(Selection::Operations(&operations), 1);
        Ok(self.summaries(&query).await?.pop())
    }

    /// Reads the entries of one entity after a position, up to and including another, that were
    /// executed in place ([`LogEntry::is_executed_in_place`]), in order, at most `limit`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn executed(
        &self,
        entity_id: &str,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError>;

    /// Reads all entries of these entities that have ever been parked, in order.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn ever_parked(&self, entity_ids: &[&str]) -> Result<Vec<LogEntry>, StoreError>;

    /// Reads the parked entries after a position, in order, at most `limit`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn parked(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError>;

    /// Returns the last position; 0 in an empty log.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn head(&self) -> Result<Position, StoreError>;

    /// Returns the identity of this log, generated when the log was created. Positions are only
    /// valid together with it; subscribers detect another log by it.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn epoch(&self) -> Result<String, StoreError>;
}

/// Result of appending an operation; see [`EventLog::append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Stored at this position.
    Stored(Position),
    /// Already stored, with the same content.
    Duplicate,
    /// The operation id is already used by other content.
    Conflict,
}
