//! Blobs in a local folder, or on S3-compatible storage.

mod folder;
mod probe;

use std::path::Path as FilePath;
use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::ports::{Blob, BlobEntry, BlobWriter, Blobs, StoreError};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::buffered::BufWriter;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::io::AsyncWriteExt;

pub use probe::probe;

/// Bytes of one part of an upload to S3; what is smaller goes in one request. S3's
/// smallest part is 5 MiB.
const PART: usize = 5 * 1024 * 1024;
/// Parts of one upload that are on their way to S3 at the same time. Beside them one part is
/// being filled: an upload holds at most `PART * (PARTS_UNDER_WAY + 1)` bytes.
const PARTS_UNDER_WAY: usize = 1;

/// An S3 bucket, or part of one.
#[derive(Clone)]
pub struct S3 {
    /// The bucket.
    pub bucket: String,
    /// Put before all names; may be empty.
    pub prefix: String,
    /// The region; servers other than Amazon's mostly do not care.
    pub region: String,
    /// Where the server is, if it is not Amazon's.
    pub endpoint: Option<String>,
    /// Whose key.
    pub access_key_id: String,
    /// The key. Holds a secret.
    pub secret_access_key: String,
}

/// Why a store cannot be opened. Never repeats a key.
#[derive(Debug, thiserror::Error)]
#[error("attachments cannot be kept there: {0}")]
pub struct OpenError(String);

/// Blobs in a folder, which is made if it is not there, for its owner alone to read. What has
/// been finished is synced to the disk, names included. An upload holds no more of its bytes in
/// memory than it is given at once.
///
/// # Errors
/// When the folder cannot be made.
pub fn local(folder: &FilePath) -> Result<Arc<dyn Blobs>, OpenError> {
    let blobs = folder::FolderBlobs::open(folder);
    let blobs = blobs.map_err(|error| OpenError(format!("{}: {error}", folder.display())))?;
    Ok(Arc::new(blobs))
}

/// Blobs that end with this process.
#[must_use]
pub fn memory() -> Arc<dyn Blobs> {
    Arc::new(ObjectBlobs(Arc::new(InMemory::new())))
}

/// Blobs on S3-compatible storage. Nothing is sent yet.
///
/// # Errors
/// When the settings contradict each other.
pub fn s3(settings: &S3) -> Result<Arc<dyn Blobs>, OpenError> {
    // The HTTP client brings no cryptography of its own. An error only says that
    // somebody has chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&settings.bucket)
        .with_region(&settings.region)
        .with_access_key_id(&settings.access_key_id)
        .with_secret_access_key(&settings.secret_access_key);
    if let Some(endpoint) = &settings.endpoint {
        let is_plain = endpoint.starts_with("http://");
        builder = builder.with_endpoint(endpoint).with_allow_http(is_plain);
    }
    let store = builder
        .build()
        .map_err(|error| OpenError(error.to_string()))?;
    let store = PrefixStore::new(store, settings.prefix.as_str());
    Ok(Arc::new(ObjectBlobs(Arc::new(store))))
}

struct ObjectBlobs(Arc<dyn ObjectStore>);

#[async_trait]
impl Blobs for ObjectBlobs {
    async fn begin(&self, name: &str) -> Result<Box<dyn BlobWriter>, StoreError> {
        let writer = BufWriter::with_capacity(self.0.clone(), Path::from(name), PART);
        Ok(Box::new(Writer(
            writer.with_max_concurrency(PARTS_UNDER_WAY),
        )))
    }

    async fn read(&self, name: &str) -> Result<Option<Blob>, StoreError> {
        match self.0.get(&Path::from(name)).await {
            Ok(found) => Ok(Some(Blob {
                size: found.meta.size,
                bytes: found.into_stream().map_err(|error| failed(&error)).boxed(),
            })),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let renamed = self.0.rename(&Path::from(from), &Path::from(to)).await;
        renamed.map_err(|error| failed(&error))
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        match self.0.delete(&Path::from(name)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&error)),
        }
    }

    fn list(&self) -> BoxStream<'static, Result<BlobEntry, StoreError>> {
        entries(self.0.list(None))
    }

    fn list_below(&self, folder: &str) -> BoxStream<'static, Result<BlobEntry, StoreError>> {
        entries(self.0.list(Some(&Path::from(folder))))
    }
}

fn entries(
    found: BoxStream<'static, object_store::Result<ObjectMeta>>,
) -> BoxStream<'static, Result<BlobEntry, StoreError>> {
    let entries = found.map(|found| {
        let found = found.map_err(|error| failed(&error))?;
        Ok(BlobEntry {
            name: found.location.into(),
            since: found.last_modified.into(),
            size: found.size,
        })
    });
    entries.boxed()
}

struct Writer(BufWriter);

#[async_trait]
impl BlobWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.0.put(bytes).await.map_err(|error| failed(&error))
    }

    async fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        self.0.shutdown().await.map_err(|error| failed(&error))
    }

    async fn abort(mut self: Box<Self>) {
        // An error means that nothing had been sent, or that nobody listens.
        let _ = self.0.abort().await;
    }
}

pub(crate) fn failed(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::unavailable(format!("attachment store: {error}"))
}
