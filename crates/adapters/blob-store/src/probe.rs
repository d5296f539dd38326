//! Readiness of a store of blobs: whether it takes one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{Blobs, Probe, StoreError};
use bakehouse_engine::probe::SingleFlight;
use bytes::Bytes;

/// Bytes that must find room, so that a full disk does not look like one with room.
const ROOM: usize = 64 * 1024;

struct BlobProbe {
    blobs: Arc<dyn Blobs>,
    /// Folder of incomplete uploads: what is left there is removed sometime.
    name: String,
    /// How long a write that succeeded counts.
    interval: Duration,
    written: Mutex<Option<Instant>>,
}

/// A probe that writes a blob and removes it again; after a success not before `interval`
/// has passed.
#[must_use]
pub fn probe(blobs: Arc<dyn Blobs>, interval: Duration) -> Arc<dyn Probe> {
    Arc::new(SingleFlight::new(BlobProbe {
        blobs,
        name: format!("uploads/readiness-{}", ids::fresh()),
        interval,
        written: Mutex::default(),
    }))
}

impl BlobProbe {
    async fn write(&self) -> Result<(), StoreError> {
        let mut writer = self.blobs.begin(&self.name).await?;
        if let Err(error) = writer.write(Bytes::from_static(&[1; ROOM])).await {
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
        let written = *self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.is_some_and(|at| at.elapsed() < self.interval) {
            return Ok(());
        }
        self.write().await.map_err(|error| error.to_string())?;
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }
}
