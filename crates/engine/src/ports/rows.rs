//! Rows of read models, and the state of process managers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;
use serde::Serialize;

use super::StoreError;
use crate::{Json, Notification, Position};

/// Write access to the rows of handlers.
#[async_trait]
pub trait RowStore: Send + Sync {
    /// Returns the checkpoint of a generation in a feed. The first call binds the generation to the
    /// feed of this epoch, and sets the checkpoint to `start`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the generation was built from another feed.
    async fn open(
        &self,
        generation: &Generation,
        feed: &Feed<'_>,
        start: Position,
    ) -> Result<Position, StoreError>;

    /// Loads the existing rows among `needs`, each once, and the revision of the generation. The
    /// revision is read after the rows: if it is the expected one, so are the rows.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn load(&self, generation: &Generation, needs: &Needs) -> Result<Loaded, StoreError>;

    /// Commits the output of a handler atomically: rows, notifications, checkpoint. Notifications
    /// whose id already exists are not changed.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], without any change, when the stored checkpoint of the feed differs
    /// from `commit.from`, or anything has been committed to the generation since the rows were
    /// loaded.
    async fn commit(&self, commit: &HandlerCommit) -> Result<(), StoreError>;

    /// Registers a version of a read model. Returns the generation to build and the one that is
    /// read. A version higher than all before becomes the one to build.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn register(&self, name: &str, version: u32) -> Result<Registration, StoreError>;

    /// Makes a generation the one that is read. Other generations of the read model may be removed.
    /// Repeating is safe. A generation that is not (or no longer) wanted is ignored.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn promote(&self, generation: &Generation) -> Result<(), StoreError>;
}

/// Read access to the rows of the generation that is currently served.
#[async_trait]
pub trait RowReader: Send + Sync {
    /// Returns a row by key.
    ///
    /// # Errors
    /// When the store does not answer, or no generation is served yet.
    async fn row(&self, name: &str, key: &str) -> Result<Option<StoredRow>, StoreError>;

    /// Returns rows with a link, ordered by key, after a key.
    ///
    /// # Errors
    /// When the store does not answer, or no generation is served yet.
    async fn rows(&self, name: &str, page: &RowPage<'_>) -> Result<Vec<StoredRow>, StoreError>;

    /// Returns all read models, ordered by name.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn states(&self) -> Result<Vec<ModelState>, StoreError>;

    /// Requests a rebuild of a read model. Returns the generation to build; `None`: there is no
    /// read model of this name.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn rebuild(&self, name: &str) -> Result<Option<Generation>, StoreError>;
}

/// Generation of a read model's rows; each rebuild starts a new one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Generation {
    /// Name of the read model: [`ReadModel::NAME`](crate::handlers::ReadModel::NAME).
    #[serde(skip)]
    pub name: String,
    /// Version of its functions: [`ReadModel::VERSION`](crate::handlers::ReadModel::VERSION).
    pub version: u32,
    /// Number of earlier rebuilds of that version.
    pub round: u64,
}

impl fmt::Display for Generation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.name, self.version, self.round)
    }
}

/// Declaration of the rows that a handler accesses, by key and by link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Keys of rows, whether they exist or not.
    pub keys: BTreeSet<String>,
    /// Links: all rows with one of them.
    pub links: BTreeSet<String>,
}

impl Needs {
    /// Declares no rows: the event is not for this handler.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Declares the row of this key.
    #[must_use]
    pub fn row(key: impl Into<String>) -> Self {
        Self::default().and_row(key)
    }

    /// Adds the row of this key.
    #[must_use]
    pub fn and_row(mut self, key: impl Into<String>) -> Self {
        self.keys.insert(key.into());
        self
    }

    /// Adds all rows with this link.
    #[must_use]
    pub fn and_linked(mut self, link: impl Into<String>) -> Self {
        self.links.insert(link.into());
        self
    }

    /// Checks whether no rows are declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.links.is_empty()
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.links.extend(other.links);
    }
}

/// A feed, and the identity of its log.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    /// Name of the domain.
    pub name: &'a str,
    /// Identity of the log.
    pub epoch: &'a str,
}

/// Rows that were loaded.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Rows.
    pub rows: Vec<StoredRow>,
    /// Number of commits to the generation.
    pub revision: u64,
}

/// A stored row.
#[derive(Clone, Debug)]
pub struct StoredRow {
    /// Key.
    pub key: String,
    /// JSON object.
    pub body: Json,
}

/// A row to write or delete.
#[derive(Clone, Debug)]
pub struct RowWrite {
    /// Key.
    pub key: String,
    /// Links by which the row is found, without duplicates.
    pub links: Vec<String>,
    /// New body; `None` deletes the row.
    pub body: Option<Json>,
}

/// Output of a handler for a batch of a feed.
#[derive(Clone, Debug)]
pub struct HandlerCommit {
    /// Generation of the handler.
    pub generation: Generation,
    /// Revision at which the rows were loaded. The commit increases it by one.
    pub revision: u64,
    /// Name of the feed's domain.
    pub feed: String,
    /// Checkpoint before the batch.
    pub from: Position,
    /// Checkpoint after the batch.
    pub to: Position,
    /// Rows, one for each key.
    pub rows: Vec<RowWrite>,
    /// Notifications to send.
    pub notifications: Vec<Notification>,
}

/// Query of a page of rows.
#[derive(Clone, Copy, Debug)]
pub struct RowPage<'a> {
    /// Link of the rows.
    pub link: &'a str,
    /// Key after which the page begins.
    pub after: Option<&'a str>,
    /// Maximum number of rows.
    pub limit: usize,
}

/// Generations of a read model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Generation that is served once it is complete.
    pub wanted: Generation,
    /// Generation that is served now.
    pub serving: Option<Generation>,
}

impl Registration {
    /// Returns the generation that is being built, if there is one.
    #[must_use]
    pub fn building(&self) -> Option<&Generation> {
        Some(&self.wanted).filter(|wanted| self.serving.as_ref() != Some(wanted))
    }
}

/// State of a read model.
#[derive(Clone, Debug)]
pub struct ModelState {
    /// Generations.
    pub registration: Registration,
    /// Checkpoint in each feed of the generation that is served.
    pub served: BTreeMap<String, Position>,
    /// Checkpoint in each feed of the generation that is being built; empty if there is none.
    pub building: BTreeMap<String, Position>,
}
