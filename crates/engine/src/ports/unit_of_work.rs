//! Unit of work: one transaction over all stores of a database.

use std::sync::Arc;

use async_trait::async_trait;

use super::{EventLog, PresentationReader, PresentationStore, RowStore, SourceStore, StoreError};

/// Begins units of work.
#[async_trait]
pub trait UnitsOfWork: Send + Sync {
    /// Begins a transaction. Others wait until it has ended.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError>;
}

/// An open transaction. Only its own stores can read what it has written. Dropping it rolls it
/// back.
#[async_trait]
pub trait UnitOfWork: Send + Sync {
    /// Returns the log.
    fn log(&self) -> Arc<dyn EventLog>;
    /// Returns the store of the source state.
    fn source(&self) -> Arc<dyn SourceStore>;
    /// Returns the presentation for writing.
    fn presentation(&self) -> Arc<dyn PresentationStore>;
    /// Returns the presentation for reading.
    fn reader(&self) -> Arc<dyn PresentationReader>;
    /// Returns the rows of handlers.
    fn rows(&self) -> Arc<dyn RowStore>;

    /// Commits the transaction durably.
    ///
    /// # Errors
    /// When the commit failed; nothing has changed then.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}
