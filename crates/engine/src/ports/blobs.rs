//! Blobs: bytes too large for the log, such as files that belong to an entity.
//! The log holds what they are; a name of theirs is written once.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::StoreError;
use crate::Timestamp;

/// Where blobs are kept. Names are paths without a slash at either end.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Starts writing one. Nobody sees it before it is finished.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn begin(&self, name: &str) -> Result<Box<dyn BlobWriter>, StoreError>;

    /// Reads one; `None`: there is none of that name.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn read(&self, name: &str) -> Result<Option<Blob>, StoreError>;

    /// Gives a blob its final name, in place of whatever had it.
    ///
    /// # Errors
    /// When the store does not answer, or there is none of the first name.
    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError>;

    /// Removes one; that there is none is no error.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn remove(&self, name: &str) -> Result<(), StoreError>;

    /// Names everything that is finished, what is in one folder in a row. What comes or goes
    /// meanwhile may be named or not.
    fn list(&self) -> BoxStream<'static, Result<BlobEntry, StoreError>>;

    /// Names what is finished below a folder, which need not be there.
    fn list_below(&self, folder: &str) -> BoxStream<'static, Result<BlobEntry, StoreError>>;

    /// Removes what writers have left unfinished and not touched since `before`, and says how
    /// many there were. A store that sees to that by itself, or by a rule of its owner, does
    /// nothing.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn remove_unfinished(&self, _before: Timestamp) -> Result<usize, StoreError> {
        Ok(0)
    }
}

/// A blob's entry in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobEntry {
    /// Its name.
    pub name: String,
    /// When it got it, by the store's clock.
    pub since: Timestamp,
    /// Number of its bytes.
    pub size: u64,
}

/// A blob on its way into the store. Dropped before it is finished it leaves
/// nothing, as far as the store can help it.
#[async_trait]
pub trait BlobWriter: Send {
    /// Adds bytes.
    ///
    /// # Errors
    /// When the store does not take them.
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError>;

    /// Makes it durable and visible.
    ///
    /// # Errors
    /// When that could not be confirmed.
    async fn finish(self: Box<Self>) -> Result<(), StoreError>;

    /// Gives it up.
    async fn abort(self: Box<Self>);
}

/// A blob on its way out.
pub struct Blob {
    /// How many bytes it has.
    pub size: u64,
    /// The bytes.
    pub bytes: BoxStream<'static, Result<Bytes, StoreError>>,
}
