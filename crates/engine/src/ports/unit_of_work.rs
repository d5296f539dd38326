//! One transaction over all of a store: everything that one operation leads to, or
//! nothing of it.

use std::sync::Arc;

use async_trait::async_trait;

use super::{EventLog, PresentationReader, PresentationStore, RowStore, SourceStore, StoreError};

/// Begins them.
#[async_trait]
pub trait UnitsOfWork: Send + Sync {
    /// Begins one; others wait until it has ended.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError>;
}

/// An open transaction. What its doors write can be read through them, and by nobody
/// else. Dropped, it has changed nothing.
#[async_trait]
pub trait UnitOfWork: Send + Sync {
    /// The log.
    fn log(&self) -> Arc<dyn EventLog>;
    /// The source state.
    fn source(&self) -> Arc<dyn SourceStore>;
    /// The presentation, to be written.
    fn presentation(&self) -> Arc<dyn PresentationStore>;
    /// The presentation, to be read.
    fn reader(&self) -> Arc<dyn PresentationReader>;
    /// The rows of handlers.
    fn rows(&self) -> Arc<dyn RowStore>;

    /// Makes all of it durable.
    ///
    /// # Errors
    /// When it could not be; nothing has changed then.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}
