//! The presentation: ready-to-read documents and the frames of the feed.

use async_trait::async_trait;

use super::StoreError;
use crate::{Facet, Frame, Json, Position, Timestamp};

/// Write access to the presentation database, for data-baker.
#[async_trait]
pub trait PresentationStore: Send + Sync {
    /// Returns the checkpoint of data-baker. The first call binds the presentation to the log of
    /// this epoch.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the presentation belongs to another log.
    async fn open(&self, epoch: &str) -> Result<Position, StoreError>;

    /// Commits a baking atomically: documents, frames, checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], without any change, when the stored checkpoint differs from
    /// `baking.from`.
    async fn commit(&self, baking: &Baking) -> Result<(), StoreError>;
}

/// Read access to the presentation database, for api-server.
#[async_trait]
pub trait PresentationReader: Send + Sync {
    /// Returns a document by id.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn document(&self, id: &str) -> Result<Option<StoredDocument>, StoreError>;

    /// Returns a page of the listed documents.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn list(&self, query: &ListQuery) -> Result<Vec<StoredDocument>, StoreError>;

    /// Returns the keys of a page of the listed documents, in the order of
    /// [`PresentationReader::list`].
    ///
    /// # Errors
    /// When the store does not answer.
    async fn list_keys(&self, query: &ListQuery) -> Result<Vec<DocumentKey>, StoreError>;

    /// Returns the listed documents among those with the given numbers, in any order.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn documents(&self, numbers: &[u64]) -> Result<Vec<StoredDocument>, StoreError>;

    /// Returns the frames after a position, in order, without gaps, at most `limit`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError>;

    /// Returns the head of the feed.
    ///
    /// # Errors
    /// When the store does not answer; [`StoreError::NotYet`] when nothing has been baked yet.
    async fn head(&self) -> Result<Head, StoreError>;

    /// Returns the head of the feed; `None`: nothing has been baked yet.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn head_if_any(&self) -> Result<Option<Head>, StoreError> {
        match self.head().await {
            Ok(head) => Ok(Some(head)),
            Err(StoreError::NotYet(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Head of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Identity of the log.
    pub epoch: String,
    /// Last position that has been baked.
    pub position: Position,
}

/// Result of baking a batch of log entries.
#[derive(Clone, Debug)]
pub struct Baking {
    /// Checkpoint before the batch.
    pub from: Position,
    /// Checkpoint after the batch.
    pub to: Position,
    /// Documents as of the end of the batch, one for each entity.
    pub documents: Vec<DocumentWrite>,
    /// Frames, one for each position, in order.
    pub frames: Vec<Frame>,
}

/// A document to write.
#[derive(Clone, Debug)]
pub struct DocumentWrite {
    /// Id of the entity.
    pub id: String,
    /// Number of the entity, the default sort key of lists.
    pub number: u64,
    /// Position that the document includes. It only increases.
    pub position: Position,
    /// Number of executed operations that the entity includes.
    pub version: u64,
    /// Creation time of the entity. Never decreases along the numbers.
    pub created_at: Timestamp,
    /// Owner of the entity, if there is one.
    pub owner: Option<String>,
    /// True if the entity was created in this batch, so that no document is stored yet.
    pub created: bool,
    /// True if lists show the entity.
    pub listed: bool,
    /// JSON object as readers get it.
    pub body: Json,
}

/// A document as readers get it, with the owner who may read it.
#[derive(Clone, Debug)]
pub struct StoredDocument {
    /// Number of the entity.
    pub number: u64,
    /// Position that the document includes.
    pub position: Position,
    /// Number of executed operations that the document includes.
    pub version: u64,
    /// Owner of the entity, if there is one.
    pub owner: Option<String>,
    /// JSON object.
    pub body: Json,
}

/// Sort key of a document, which also identifies its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentKey {
    /// Number of the entity.
    pub number: u64,
    /// Position that the document includes.
    pub position: Position,
}

impl From<&StoredDocument> for DocumentKey {
    fn from(document: &StoredDocument) -> Self {
        Self {
            number: document.number,
            position: document.position,
        }
    }
}

/// Query of a page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Maximum number of documents.
    pub limit: usize,
    /// Order of the list.
    pub sort: Sort,
    /// [`Sort::key`] after which the page begins.
    pub past: Option<u64>,
    /// Owner of the documents; `None`: any.
    pub owner: Option<String>,
    /// Facets of the domain, and the exact text that each must have.
    pub facets: Vec<(Facet, String)>,
    /// Creation time that documents must be later than.
    pub created_after: Option<Timestamp>,
    /// Creation time that documents must be earlier than.
    pub created_before: Option<Timestamp>,
}

impl ListQuery {
    /// Creates a query of the `limit` newest documents.
    #[must_use]
    pub fn newest(limit: usize) -> Self {
        Self {
            limit,
            sort: Sort::NEWEST_FIRST,
            past: None,
            owner: None,
            facets: Vec::new(),
            created_after: None,
            created_before: None,
        }
    }
}

/// Order of a list. Sort keys are unique, so that a page starts exactly where the previous one
/// ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// Sort key.
    pub by: SortKey,
    /// True if the highest key comes first.
    pub descending: bool,
}

/// Sort key of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// Creation of the entity: its number.
    Created,
    /// Last change of the entity: its position.
    Updated,
}

impl Sort {
    /// Newest entities first.
    pub const NEWEST_FIRST: Self = Self {
        by: SortKey::Created,
        descending: true,
    };

    /// Returns the sort key of a document.
    #[must_use]
    pub fn key(self, document: &StoredDocument) -> u64 {
        self.value(DocumentKey::from(document))
    }

    /// Returns the value of a document's key by which this sorts.
    #[must_use]
    pub fn value(self, key: DocumentKey) -> u64 {
        match self.by {
            SortKey::Created => key.number,
            SortKey::Updated => key.position,
        }
    }
}
