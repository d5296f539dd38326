//! Stores that fail: now before doing what they were asked, now after it, so
//! that only the answer is lost. A seed reproduces a run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bakehouse_pipeline::ports::{
    Appended, Baking, Checkpoint, EventLog, Execution, PresentationStore, Progress, SourceStore,
    StoreError,
};
use bakehouse_pipeline::{EntityRecord, Event, Operation, Position};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

/// Decides which calls fail.
#[derive(Clone)]
pub struct Faults {
    random: Arc<Mutex<StdRng>>,
    rate: f64,
}

impl Faults {
    /// Fails before with probability `rate`, and after with the same.
    pub fn new(seed: u64, rate: f64) -> Self {
        Self {
            random: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
            rate,
        }
    }

    fn strike(&self, when: &str) -> Result<(), StoreError> {
        let strikes = self.random.lock().unwrap().random_bool(self.rate);
        if strikes {
            return Err(StoreError::unavailable(format!("injected: {when}")));
        }
        Ok(())
    }

    async fn around<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.strike("nothing done")?;
        let answer = call.await?;
        self.strike("done, answer lost")?;
        Ok(answer)
    }
}

/// A door behind which things fail.
pub struct Flaky<D: ?Sized> {
    inner: Arc<D>,
    faults: Faults,
}

impl<D: ?Sized> Flaky<D> {
    /// The door, with faults.
    pub fn new(inner: Arc<D>, faults: &Faults) -> Arc<Self> {
        let faults = faults.clone();
        Arc::new(Self { inner, faults })
    }
}

#[async_trait]
impl EventLog for Flaky<dyn EventLog> {
    async fn append(&self, operations: &[Operation]) -> Result<Vec<Appended>, StoreError> {
        // A lost answer may also come of a batch that was stored in part.
        let half = operations.len() / 2;
        if self.faults.strike("half done").is_err() {
            self.inner.append(&operations[..half]).await?;
            return Err(StoreError::unavailable("injected: half done"));
        }
        self.faults.around(self.inner.append(operations)).await
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.faults.around(self.inner.read(after, limit)).await
    }

    async fn history(
        &self,
        entity_id: &str,
        after: Position,
        up_to: Position,
    ) -> Result<Vec<Event>, StoreError> {
        self.faults
            .around(self.inner.history(entity_id, after, up_to))
            .await
    }

    async fn find(&self, operation_id: Uuid) -> Result<Option<Event>, StoreError> {
        self.faults.around(self.inner.find(operation_id)).await
    }

    async fn held(&self, entity_ids: &[&str]) -> Result<Vec<Event>, StoreError> {
        self.faults.around(self.inner.held(entity_ids)).await
    }

    async fn correlated(
        &self,
        correlation_id: Uuid,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let inner = self.inner.correlated(correlation_id, after, limit);
        self.faults.around(inner).await
    }

    async fn parked(&self, after: Position, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.faults.around(self.inner.parked(after, limit)).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.faults.around(self.inner.head()).await
    }

    async fn epoch(&self) -> Result<String, StoreError> {
        self.faults.around(self.inner.epoch()).await
    }
}

#[async_trait]
impl Progress for Flaky<dyn SourceStore> {
    async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.faults.around(self.inner.checkpoint()).await
    }
}

#[async_trait]
impl SourceStore for Flaky<dyn SourceStore> {
    async fn load(&self, ids: &[&str]) -> Result<HashMap<String, EntityRecord>, StoreError> {
        self.faults.around(self.inner.load(ids)).await
    }

    async fn snapshots(
        &self,
        ids: &[&str],
        up_to: Position,
    ) -> Result<HashMap<String, EntityRecord>, StoreError> {
        self.faults.around(self.inner.snapshots(ids, up_to)).await
    }

    async fn commit(&self, execution: &Execution) -> Result<(), StoreError> {
        self.faults.around(self.inner.commit(execution)).await
    }
}

#[async_trait]
impl PresentationStore for Flaky<dyn PresentationStore> {
    async fn open(&self, epoch: &str) -> Result<Position, StoreError> {
        self.faults.around(self.inner.open(epoch)).await
    }

    async fn commit(&self, baking: &Baking) -> Result<(), StoreError> {
        self.faults.around(self.inner.commit(baking)).await
    }
}
