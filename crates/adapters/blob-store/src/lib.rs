//! Blob store in a local folder or on S3-compatible storage.

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

/// Size in bytes of one part of an upload to S3, whose minimum is 5 MiB; a smaller blob is sent in
/// one request.
const PART_SIZE: usize = 5 * 1024 * 1024;
/// Maximum number of parts of one upload that are sent at the same time. With the part being
/// filled, an upload holds at most `PART_SIZE * (MAX_CONCURRENT_PARTS + 1)` bytes in memory.
const MAX_CONCURRENT_PARTS: usize = 1;

/// Settings of an S3 bucket, or of a prefix in one.
#[derive(Clone)]
pub struct S3 {
    /// Name of the bucket.
    pub bucket: String,
    /// Prefix of all object names; may be empty.
    pub prefix: String,
    /// Region; most servers other than Amazon's ignore it.
    pub region: String,
    /// URL of the server; `None` for Amazon's.
    pub endpoint: Option<String>,
    /// Id of the access key.
    pub access_key_id: String,
    /// Secret of the access key.
    pub secret_access_key: String,
}

/// Error of opening a blob store. Never contains a key.
#[derive(Debug, thiserror::Error)]
#[error("the attachment store cannot be opened: {0}")]
pub struct OpenError(String);

/// Opens a blob store in a folder, which is created if it does not exist, readable by its owner
/// alone. Finished blobs and their names are synced to the disk. An upload buffers no more bytes
/// than one write passes.
///
/// # Errors
/// [`OpenError`] if the folder cannot be created.
pub fn local(folder: &FilePath) -> Result<Arc<dyn Blobs>, OpenError> {
    let blobs = folder::FolderBlobs::open(folder);
    let blobs = blobs.map_err(|error| OpenError(format!("{}: {error}", folder.display())))?;
    Ok(Arc::new(blobs))
}

/// Creates a blob store in memory.
#[must_use]
pub fn memory() -> Arc<dyn Blobs> {
    Arc::new(ObjectBlobs(Arc::new(InMemory::new())))
}

/// Creates a blob store on S3-compatible storage, without sending a request.
///
/// # Errors
/// [`OpenError`] if the settings contradict each other.
pub fn s3(settings: &S3) -> Result<Arc<dyn Blobs>, OpenError> {
    // The HTTP client has no TLS provider of its own. An error means that one is installed.
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
        let writer = BufWriter::with_capacity(self.0.clone(), Path::from(name), PART_SIZE);
        Ok(Box::new(Writer(
            writer.with_max_concurrency(MAX_CONCURRENT_PARTS),
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
        // An error means that nothing was sent, or that the server does not answer.
        let _ = self.0.abort().await;
    }
}

pub(crate) fn failed(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::unavailable(format!("attachment store: {error}"))
}
