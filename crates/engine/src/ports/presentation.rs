//! The presentation: documents ready to read, and the feed's history.

use async_trait::async_trait;

use super::StoreError;
use crate::{Facet, Frame, Json, Position, Timestamp};

/// data-baker's end of the presentation database.
#[async_trait]
pub trait PresentationStore: Send + Sync {
    /// How far the log has been baked. The first call of all ties the
    /// presentation to the log of that epoch.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it belongs to another log.
    async fn open(&self, epoch: &str) -> Result<Position, StoreError>;

    /// All of the baking or nothing: documents, frames, checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], and nothing written, when the checkpoint is not
    /// where the baking starts.
    async fn commit(&self, baking: &Baking) -> Result<(), StoreError>;
}

/// api-server's end: reads only.
#[async_trait]
pub trait PresentationReader: Send + Sync {
    /// A document by id.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn document(&self, id: &str) -> Result<Option<StoredDocument>, StoreError>;

    /// A page of the listed documents.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn list(&self, query: &ListQuery) -> Result<Vec<StoredDocument>, StoreError>;

    /// The keys of a page of the listed documents, in the order of [`PresentationReader::list`].
    ///
    /// # Errors
    /// When the store does not answer.
    async fn list_keys(&self, query: &ListQuery) -> Result<Vec<DocumentKey>, StoreError>;

    /// The listed ones among the documents of these numbers, in any order.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn documents(&self, numbers: &[u64]) -> Result<Vec<StoredDocument>, StoreError>;

    /// The frames after a position, in order, without gaps, at most `limit`.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError>;

    /// How far it has been baked.
    ///
    /// # Errors
    /// When the store does not answer, or nothing has ever been baked into it.
    async fn head(&self) -> Result<Head, StoreError>;

    /// Head of the feed; `None`: nothing has been baked yet.
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

/// Where the feed stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The log's identity.
    pub epoch: String,
    /// The last position baked.
    pub position: Position,
}

/// What baking a run of events has led to.
#[derive(Clone, Debug)]
pub struct Baking {
    /// Where it starts: the last position baked before.
    pub from: Position,
    /// Where it ends.
    pub to: Position,
    /// Documents as they are after it, one an entity.
    pub documents: Vec<DocumentWrite>,
    /// One for each position, in order.
    pub frames: Vec<Frame>,
}

/// A document to be written.
#[derive(Clone, Debug)]
pub struct DocumentWrite {
    /// The entity's id.
    pub id: String,
    /// The entity's number; unless told otherwise, lists are sorted by it.
    pub number: u64,
    /// The position that it includes; a stored document's only ever rises.
    pub position: Position,
    /// How many executed operations the entity includes.
    pub version: u64,
    /// When the entity came into being; never decreases along the numbers.
    pub created_at: Timestamp,
    /// Whose the entity is, if anybody's.
    pub owner: Option<String>,
    /// Whether the entity came into being in this run, so that there is none yet.
    pub created: bool,
    /// Whether lists show it.
    pub listed: bool,
    /// As readers get it: a JSON object.
    pub body: Json,
}

/// A document as readers get it, with what decides who that may be.
#[derive(Clone, Debug)]
pub struct StoredDocument {
    /// The entity's number.
    pub number: u64,
    /// The position that it includes.
    pub position: Position,
    /// How many executed operations it includes.
    pub version: u64,
    /// Whose the entity is, if anybody's.
    pub owner: Option<String>,
    /// The JSON object.
    pub body: Json,
}

/// Key that a list is sorted by, and that tells whether a document is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentKey {
    /// The entity's number.
    pub number: u64,
    /// The position that the document includes.
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

/// Which page of which list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// How many at most.
    pub limit: usize,
    /// In which order.
    pub sort: Sort,
    /// Only what comes after the one with this [`Sort::key`].
    pub past: Option<u64>,
    /// Only what belongs to this owner.
    pub owner: Option<String>,
    /// Only documents of which these members are exactly this text; the facets
    /// are the domain's.
    pub facets: Vec<(Facet, String)>,
    /// Only what was created later.
    pub created_after: Option<Timestamp>,
    /// Only what was created earlier.
    pub created_before: Option<Timestamp>,
}

impl ListQuery {
    /// The first `limit` documents of all, newest first.
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

/// The order of a list. Each document has a key of its own in either, so that a
/// page can start exactly where the one before it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub by: SortKey,
    /// Highest first.
    pub descending: bool,
}

/// By what a list is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// When the entity was created: by number.
    Created,
    /// When it was last changed: by position.
    Updated,
}

impl Sort {
    /// What was created last comes first.
    pub const NEWEST_FIRST: Self = Self {
        by: SortKey::Created,
        descending: true,
    };

    /// Where the document stands in this order.
    #[must_use]
    pub fn key(self, document: &StoredDocument) -> u64 {
        self.value(DocumentKey::from(document))
    }

    /// Value of a document's key by which this sorts.
    #[must_use]
    pub fn value(self, key: DocumentKey) -> u64 {
        match self.by {
            SortKey::Created => key.number,
            SortKey::Updated => key.position,
        }
    }
}
