//! The presentation: documents ready to read, and the feed's history.

use async_trait::async_trait;

use super::StoreError;
use crate::{Frame, Json, Position};

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

    /// Listed documents, newest first.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn list(&self, query: &ListQuery) -> Result<Vec<StoredDocument>, StoreError>;

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
    /// The entity's number; lists are sorted by it.
    pub number: u64,
    /// The position that it includes; a stored document's only ever rises.
    pub position: Position,
    /// Whether the entity came into being in this run, so that there is none yet.
    pub created: bool,
    /// Whether lists show it.
    pub listed: bool,
    /// As readers get it: a JSON object.
    pub body: Json,
}

/// A document as readers get it.
#[derive(Clone, Debug)]
pub struct StoredDocument {
    /// The entity's number.
    pub number: u64,
    /// The position that it includes.
    pub position: Position,
    /// The JSON object.
    pub body: Json,
}

/// Which page of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// How many at most.
    pub limit: usize,
    /// Only those with a smaller number.
    pub before: Option<u64>,
}
