//! Reads that only an audit makes: every stored field, and what is stored although no
//! event speaks of it. An audit reads beside services that are at work, and writes nothing.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{Head, StoreError};
use crate::handlers::Generation;
use crate::{EntityRecord, Json, Notification, Position, Timestamp};

/// Items found under each key of a page, in the order of the keys; or why it cannot be
/// read.
pub type Page<T> = Vec<(String, Result<T, String>)>;

/// Source database of an audit.
#[async_trait]
pub trait SourceInspector: Send + Sync {
    /// Position of each entity, by id, from after an id on, at most `limit`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn entities(&self, after: &str, limit: usize) -> Result<Page<Position>, StoreError>;

    /// Those of the entities, each with a position, whose event does not stand there.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn unfounded(&self, entities: &[(&str, Position)]) -> Result<Vec<String>, StoreError>;

    /// Snapshots by entity and position, from after one on, at most `limit`; the key of
    /// each is its entity's id.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn snapshots(
        &self,
        after: (&str, Position),
        limit: usize,
    ) -> Result<Page<EntityRecord>, StoreError>;

    /// Notifications by id, from after an id on, at most `limit`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn notifications(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Page<Notification>, StoreError>;

    /// Checkpoint of the notifier; `None`: it has never run.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn notified(&self) -> Result<Option<Head>, StoreError>;

    /// Events after a position, up to and including another, of which a field that repeats
    /// others says something else: position and field. None where no field does.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn redundant(
        &self,
        _after: Position,
        _up_to: Position,
    ) -> Result<Vec<(Position, &'static str)>, StoreError> {
        Ok(Vec::new())
    }
}

/// Presentation database of an audit.
#[async_trait]
pub trait PresentationInspector: Send + Sync {
    /// Documents by id, with all of their fields.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn documents(
        &self,
        ids: &[&str],
    ) -> Result<HashMap<String, Result<DocumentRecord, String>>, StoreError>;

    /// Position of each document, by id, from after an id on, at most `limit`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn document_ids(&self, after: &str, limit: usize) -> Result<Page<Position>, StoreError>;
}

/// Rows of read models and process managers, for an audit.
#[async_trait]
pub trait RowInspector: Send + Sync {
    /// Rows of a generation by key, from after a key on, at most `limit`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn all_rows(
        &self,
        generation: &Generation,
        after: &str,
        limit: usize,
    ) -> Result<Page<RowRecord>, StoreError>;

    /// Links to rows that are not there, at most `limit`: link and key of each.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn loose_links(
        &self,
        generation: &Generation,
        limit: usize,
    ) -> Result<Vec<(String, String)>, StoreError>;
}

/// Accepted operations on their way to the log.
#[async_trait]
pub trait Backlog: Send + Sync {
    /// How many there are now.
    ///
    /// # Errors
    /// When the queue does not answer.
    async fn waiting(&self) -> Result<Waiting, StoreError>;
}

/// Settings of the queues' server, by which accepted operations can vanish before the log.
#[async_trait]
pub trait QueueInspector: Send + Sync {
    /// Risks found.
    ///
    /// # Errors
    /// When the server does not tell.
    async fn risks(&self) -> Result<Vec<QueueRisk>, StoreError>;
}

/// Setting of a queue by which accepted operations can vanish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRisk {
    /// Name of the queue.
    pub queue: String,
    /// Setting, who made it, and what it leads to.
    pub what: String,
    /// Command or step that mends it.
    pub fix: String,
}

/// Integrity of a store's own files, as far as it can check them itself.
#[async_trait]
pub trait Integrity: Send + Sync {
    /// Damages found, at most a hundred.
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

/// A row with what it is found by.
#[derive(Clone, Debug)]
pub struct RowRecord {
    /// Links, sorted.
    pub links: Vec<String>,
    /// JSON object.
    pub body: Json,
}

/// Content of the schedule queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Accepted operations that are not in the log yet, dead letters included.
    pub operations: u64,
    /// Dead letters among them: removed from the queue by its server, which keeps them.
    pub dead_letters: u64,
    /// Acceptance time of the oldest of them, where the queue knows it.
    pub oldest: Option<Timestamp>,
    /// Messages that were no operation, and are kept aside.
    pub unreadable: u64,
    /// Accepted operations that have vanished before the log, where the queue can tell;
    /// 0 otherwise.
    pub lost: u64,
}

/// Damage of a store's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Table or index that is damaged, if that is known.
    pub part: Option<String>,
    /// True if that is an index alone, so that no data is lost.
    pub is_index: bool,
    /// The store's own words.
    pub what: String,
}
