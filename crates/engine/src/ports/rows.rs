//! Rows of read models, and the state of process managers.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::StoreError;
use crate::handlers::{Generation, Needs};
use crate::{Json, Notification, Position};

/// Where handlers' rows are written.
#[async_trait]
pub trait RowStore: Send + Sync {
    /// How far a feed has been followed for a generation. The first call ties it to
    /// the feed of that epoch, and begins after `start`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it was made of another feed.
    async fn open(
        &self,
        generation: &Generation,
        feed: &Feed<'_>,
        start: Position,
    ) -> Result<Position, StoreError>;

    /// The rows that are needed, as far as they are there, each once; and the revision
    /// that the generation is at, found after them: if it is the one that was expected,
    /// so are they.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn load(&self, generation: &Generation, needs: &Needs) -> Result<Loaded, StoreError>;

    /// All of it or nothing: rows, notifications, how far the feed was followed. A
    /// notification whose id is on record already stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], and nothing written, when the feed was not followed
    /// to where it starts, or anything has been committed since the rows were loaded,
    /// of whichever feed.
    async fn commit(&self, handling: &HandlerCommit) -> Result<(), StoreError>;

    /// What is to be made of a read model, and what is read. A version that is higher
    /// than any before is to be made from now on.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn register(&self, name: &str, version: u32) -> Result<Registration, StoreError>;

    /// From now on this generation is read. What else there was of the read model may
    /// go. Repeating is safe; a generation that is not wanted (any more) is not read.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn promote(&self, generation: &Generation) -> Result<(), StoreError>;
}

/// Where readers find rows: always those of the generation that is read.
#[async_trait]
pub trait RowReader: Send + Sync {
    /// One row.
    ///
    /// # Errors
    /// When the store does not answer, or nothing can be read yet.
    async fn row(&self, name: &str, key: &str) -> Result<Option<StoredRow>, StoreError>;

    /// Rows that carry a link, by key, from after a key on.
    ///
    /// # Errors
    /// When the store does not answer, or nothing can be read yet.
    async fn rows(&self, name: &str, page: &RowPage<'_>) -> Result<Vec<StoredRow>, StoreError>;

    /// All read models that there are, by name.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn states(&self) -> Result<Vec<ModelState>, StoreError>;

    /// The read model's rows are to be made anew. `None`: there is none of this name.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn rebuild(&self, name: &str) -> Result<Option<Generation>, StoreError>;
}

/// A feed, and which making of it.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    /// Of which domain.
    pub name: &'a str,
    /// The identity of its log.
    pub epoch: &'a str,
}

/// Rows as they were loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The rows.
    pub rows: Vec<StoredRow>,
    /// How often anything was committed to their generation.
    pub revision: u64,
}

/// A row as it is kept.
#[derive(Clone, Debug)]
pub struct StoredRow {
    /// What it is found by.
    pub key: String,
    /// The JSON object.
    pub body: Json,
}

/// A row to be written, or removed.
#[derive(Clone, Debug)]
pub struct RowWrite {
    /// What it is found by.
    pub key: String,
    /// What else it is found by, each once.
    pub links: Vec<String>,
    /// As it is to be; `None`: it is to be no more.
    pub body: Option<Json>,
}

/// What following a feed from one position to another has led to.
#[derive(Clone, Debug)]
pub struct HandlerCommit {
    /// Of which handler.
    pub generation: Generation,
    /// The revision at which its rows were loaded; it becomes the next one.
    pub revision: u64,
    /// Of which domain the feed is.
    pub feed: String,
    /// Where it starts: how far the feed had been followed.
    pub from: Position,
    /// Where it ends.
    pub to: Position,
    /// Rows, one a key.
    pub rows: Vec<RowWrite>,
    /// What is to be sent.
    pub notifications: Vec<Notification>,
}

/// Which rows of a list.
#[derive(Clone, Copy, Debug)]
pub struct RowPage<'a> {
    /// That carry this.
    pub link: &'a str,
    /// Of which the key comes after this.
    pub after: Option<&'a str>,
    /// How many at most.
    pub limit: usize,
}

/// What is made of a read model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// What is to be read once it is there.
    pub wanted: Generation,
    /// What is read.
    pub serving: Option<Generation>,
}

impl Registration {
    /// What is being made to be read next, if anything is.
    #[must_use]
    pub fn building(&self) -> Option<&Generation> {
        Some(&self.wanted).filter(|wanted| self.serving.as_ref() != Some(wanted))
    }
}

/// A read model, for those who watch it.
#[derive(Clone, Debug)]
pub struct ModelState {
    /// What is made of it.
    pub registration: Registration,
    /// How far each feed has been followed for what is read.
    pub served: BTreeMap<String, Position>,
    /// The same for what is being made to be read next, if anything is.
    pub building: BTreeMap<String, Position>,
}
