//! Blobs: data too large for the log, such as attachments of an entity. The log holds their
//! metadata. Each name is written once.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::StoreError;
use crate::Timestamp;

/// Blob store. Names are paths without a slash at either end.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Starts to write a blob. It is not visible before it is finished.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn begin(&self, name: &str) -> Result<Box<dyn BlobWriter>, StoreError>;

    /// Opens a blob for reading; `None`: there is none of this name.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn read(&self, name: &str) -> Result<Option<Blob>, StoreError>;

    /// Renames a blob. Replaces an existing blob of the new name.
    ///
    /// # Errors
    /// When the store does not answer, or `from` does not exist.
    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError>;

    /// Removes a blob. A missing blob is not an error.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn remove(&self, name: &str) -> Result<(), StoreError>;

    /// Lists all finished blobs, grouped by folder. Blobs that are added or removed in the meantime
    /// may be missing or included.
    fn list(&self) -> BoxStream<'static, Result<BlobEntry, StoreError>>;

    /// Lists the finished blobs below a folder. A missing folder is empty.
    fn list_below(&self, folder: &str) -> BoxStream<'static, Result<BlobEntry, StoreError>>;

    /// Removes unfinished blobs that have not changed since `before`. Returns their number. Stores
    /// with their own cleanup do nothing.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn remove_unfinished(&self, _before: Timestamp) -> Result<usize, StoreError> {
        Ok(0)
    }
}

/// A blob in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobEntry {
    /// Name.
    pub name: String,
    /// Time of the last write or rename, by the store's clock.
    pub since: Timestamp,
    /// Size in bytes.
    pub size: u64,
}

/// Writer of a blob. Dropped before it is finished, it removes what it has written, as far as the
/// store can.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends bytes.
    ///
    /// # Errors
    /// When the store does not accept them.
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Makes the blob durable and visible.
    ///
    /// # Errors
    /// When this could not be confirmed.
    async fn finish(self: Box<Self>) -> Result<(), StoreError>;

    /// Removes the unfinished blob.
    async fn abort(self: Box<Self>);
}

/// Reader of a blob.
pub struct Blob {
    /// Size in bytes.
    pub size: u64,
    /// Content.
    pub bytes: BoxStream<'static, Result<Bytes, StoreError>>,
}
