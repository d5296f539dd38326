//! Reads for the audit: all stored fields, and data that no log entry accounts for. An audit runs
//! while the services are running, and writes nothing.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{Generation, Head, StoreError};
use crate::{EntityRecord, Json, Notification, Position, Timestamp};

/// Items of a page by key, in the order of the keys. An item that cannot be read is replaced by the
/// reason.
pub type Page<T> = Vec<(String, Result<T, String>)>;

/// Reads of the source database for an audit.
#[async_trait]
pub trait SourceInspector: Send + Sync {
    /// Returns the positions of entities, ordered by id, after an id, at most `limit`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn entities(&self, after: &str, limit: usize) -> Result<Page<Position>, StoreError>;

    /// Returns the ids of those entities that have no log entry at the given position.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn without_entry(&self, entities: &[(&str, Position)])
    -> Result<Vec<String>, StoreError>;

    /// Returns snapshots, ordered by entity and position, after the given ones, at most `limit`.
    /// The key of each item is the id of the entity.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn snapshots(
        &self,
        after: (&str, Position),
        limit: usize,
    ) -> Result<Page<EntityRecord>, StoreError>;

    /// Returns notifications, ordered by id, after an id, at most `limit`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn notifications(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Page<Notification>, StoreError>;

    /// Returns the checkpoint of the notifier; `None`: it has never run.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn notified(&self) -> Result<Option<Head>, StoreError>;

    /// Returns position and field of log entries after a position, up to and including another,
    /// whose redundant field differs from the fields that it repeats. Empty for stores without such
    /// fields.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn inconsistent_fields(
        &self,
        _after: Position,
        _up_to: Position,
    ) -> Result<Vec<(Position, &'static str)>, StoreError> {
        Ok(Vec::new())
    }
}

/// Reads of the presentation database for an audit.
#[async_trait]
pub trait PresentationInspector: Send + Sync {
    /// Returns documents with all stored fields, by id.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn documents(
        &self,
        ids: &[&str],
    ) -> Result<HashMap<String, Result<DocumentRecord, String>>, StoreError>;

    /// Returns the positions of documents, ordered by id, after an id, at most `limit`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn document_ids(&self, after: &str, limit: usize) -> Result<Page<Position>, StoreError>;
}

/// Reads of the rows of read models and process managers for an audit.
#[async_trait]
pub trait RowInspector: Send + Sync {
    /// Returns rows of a generation, ordered by key, after a key, at most `limit`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn all_rows(
        &self,
        generation: &Generation,
        after: &str,
        limit: usize,
    ) -> Result<Page<RowRecord>, StoreError>;

    /// Returns link and key of links to missing rows, at most `limit`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn dangling_links(
        &self,
        generation: &Generation,
        limit: usize,
    ) -> Result<Vec<(String, String)>, StoreError>;
}

/// Accepted operations that are not in the log yet.
#[async_trait]
pub trait Backlog: Send + Sync {
    /// Returns the current content of the queue.
    ///
    /// # Errors
    /// When the queue does not answer.
    async fn waiting(&self) -> Result<Waiting, StoreError>;
}

/// Check of the queue server's settings for those by which accepted operations can be lost.
#[async_trait]
pub trait QueueInspector: Send + Sync {
    /// Returns the risks found.
    ///
    /// # Errors
    /// When the server does not answer.
    async fn risks(&self) -> Result<Vec<QueueRisk>, StoreError>;
}

/// Setting of a queue by which accepted operations can be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRisk {
    /// Name of the queue.
    pub queue: String,
    /// Description of the setting, its origin and its effect.
    pub what: String,
    /// Command or step that fixes it.
    pub fix: String,
}

/// Integrity check of a store's own files.
#[async_trait]
pub trait Integrity: Send + Sync {
    /// Returns the damages found, at most 100.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn damages(&self) -> Result<Vec<Damage>, StoreError>;
}

/// A document with all of its stored fields.
#[derive(Clone, Debug)]
pub struct DocumentRecord {
    /// Number of the entity.
    pub number: u64,
    /// Position that it includes.
    pub position: Position,
    /// Number of executed operations that it includes.
    pub version: u64,
    /// Creation time of the entity.
    pub created_at: Timestamp,
    /// Owner of the entity, if it has one.
    pub owner: Option<String>,
    /// True if lists show it.
    pub listed: bool,
    /// JSON object as readers get it.
    pub body: Json,
}

/// A row with its links.
#[derive(Clone, Debug)]
pub struct RowRecord {
    /// Links, sorted.
    pub links: Vec<String>,
    /// JSON object.
    pub body: Json,
}

/// Number of messages in the schedule queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Accepted operations that are not in the log yet, dead letters included.
    pub operations: u64,
    /// Dead letters among them: removed from the queue by its server, which keeps them.
    pub dead_letters: u64,
    /// Acceptance time of the oldest operation, if the queue knows it.
    pub oldest: Option<Timestamp>,
    /// Parked messages that are not operations.
    pub unreadable: u64,
    /// Accepted operations that were lost before the log, if the queue can detect it; otherwise 0.
    pub lost: u64,
}

/// Damage of a store's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Damaged table or index, if known.
    pub part: Option<String>,
    /// True if only an index is damaged, so that no data is lost.
    pub is_index: bool,
    /// Message of the store.
    pub what: String,
}
