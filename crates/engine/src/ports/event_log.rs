//! The log: every accepted event, in one order.

use async_trait::async_trait;
use uuid::Uuid;

use super::{Selection, StoreError, SummaryQuery};
use crate::{LogEntry, Operation, Position, Timestamp};

/// The `events` of the source database.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Makes the operations durable at the next positions, in the order given;
    /// answers for each of them, in that order. Several writers may call at
    /// once: positions stay without gaps, each writer's order is kept.
    ///
    /// `creation_time` is `now`, or the previous event's if that is later: clocks of
    /// writers differ, and are set back.
    ///
    /// # Errors
    /// When that could not be confirmed; some may be stored. Repeating is safe.
    async fn append_at(
        &self,
        operations: &[Operation],
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError>;

    /// Appends by this machine's clock; see [`EventLog::append_at`].
    ///
    /// # Errors
    /// When that could not be confirmed; some may be stored. Repeating is safe.
    async fn append(&self, operations: &[Operation]) -> Result<Vec<Appended>, StoreError> {
        self.append_at(operations, Timestamp::now()).await
    }

    /// The events after a position, in order, at most `limit`; only durable ones.
    ///
    /// # Errors
    /// [`StoreError::Hole`] when one is missing in between.
    async fn read(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError>;

    /// All events of one entity after a position, up to and including another, in
    /// order.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn history(
        &self,
        entity_id: &str,
        after: Position,
        up_to: Position,
    ) -> Result<Vec<LogEntry>, StoreError>;

    /// The event of an operation.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn find(&self, operation_id: Uuid) -> Result<Option<LogEntry>, StoreError>;

    /// A page of events without their payloads (see [`super::no_payload`]), in order; found
    /// by an index, so that what is not wanted costs nothing.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn summaries(&self, query: &SummaryQuery<'_>) -> Result<Vec<LogEntry>, StoreError>;

    /// The event of an operation, without its payload.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn summary(&self, operation_id: Uuid) -> Result<Option<LogEntry>, StoreError> {
        let operations = [operation_id];
        let query = SummaryQuery::first(Selection::Operations(&operations), 1);
        Ok(self.summaries(&query).await?.pop())
    }

    /// The events of one entity after a position, up to and including another, that were
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

    /// Of the events of these entities those that have ever been parked, in order.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn held(&self, entity_ids: &[&str]) -> Result<Vec<LogEntry>, StoreError>;

    /// The events after a position that are parked, in order, at most `limit`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn parked(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError>;

    /// The last position; 0 in an empty log.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn head(&self) -> Result<Position, StoreError>;

    /// The identity of this log, drawn once when it was made. Positions of
    /// another log mean nothing here; subscribers are told by it.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn epoch(&self) -> Result<String, StoreError>;
}

/// What became of an operation given to [`EventLog::append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log now, at this position.
    Stored(Position),
    /// It was there already, with the same content.
    Duplicate,
    /// Its identity was there already, with other content.
    Conflict,
}
