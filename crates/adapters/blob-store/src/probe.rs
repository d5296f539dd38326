//! Readiness of a blob store: it accepts a blob.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{Blobs, Probe, StoreError};
use bakehouse_engine::probe::SingleFlight;
use bytes::Bytes;

/// Size in bytes of the test blob, which is large enough to detect a full disk.
const TEST_BLOB_SIZE: usize = 64 * 1024;

struct BlobProbe {
    blobs: Arc<dyn Blobs>,
    /// Name of the test blob, in the folder of incomplete uploads, whose leftovers are removed.
    name: String,
    /// Time for which a successful write is valid.
    interval: Duration,
    last_written: Mutex<Option<Instant>>,
}

/// Creates a probe that writes and removes a test blob; after a success, it writes again only once
/// `interval` has passed.
#[must_use]
pub fn probe(blobs: Arc<dyn Blobs>, interval: Duration) -> Arc<dyn Probe> {
    Arc::new(SingleFlight::new(BlobProbe {
        blobs,
        name: format!("uploads/readiness-{}", ids::fresh()),
        interval,
        last_written: Mutex::default(),
    }))
}

impl BlobProbe {
    async fn write(&self) -> Result<(), StoreError> {
        let mut writer = self.blobs.begin(&self.name).await?;
        if let Err(error) = writer.write(Bytes::from_static(&[1; TEST_BLOB_SIZE])).await {
            writer.abort().await;
            return Err(error);
        }
        writer.finish().await?;
        self.blobs.remove(&self.name).await
    }
}

#[async_trait]
impl Probe for BlobProbe {
    fn name(&self) -> &str {
        "attachments"
    }

    async fn check(&self) -> Result<(), String> {
        let last_written = *self
            .last_written
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last_written.is_some_and(|at| at.elapsed() < self.interval) {
            return Ok(());
        }
        self.write().await.map_err(|error| error.to_string())?;
        *self
            .last_written
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }
}
