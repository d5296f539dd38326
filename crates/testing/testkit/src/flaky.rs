//! Decorators that make stores fail before or after a call (the answer is lost then), add latency,
//! and pause the caller beyond its lease.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::handlers::{Generation, Needs};
use bakehouse_engine::ports::{
    Appended, Baking, Checkpoint, EventLog, Execution, Feed, FeedSource, HandlerCommit, Head,
    Lease, Leases, Loaded, PresentationStore, Progress, Rebuild, Rebuilds, Registration, RowStore,
    ShadowStores, SourceStore, StoreError, SummaryQuery,
};
use bakehouse_engine::{EntityRecord, Frame, LogEntry, Operation, Position, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;
use uuid::Uuid;

/// Random source of failures, latency and pauses, by a seed; clones share it.
#[derive(Clone)]
pub struct Faults {
    random: Arc<Mutex<StdRng>>,
    rate: f64,
    /// Maximum latency before and after a call.
    latency: Duration,
    /// Probability and length of a pause.
    pauses: Option<(f64, Duration)>,
    /// End of the current pause, which holds up every caller that shares these faults.
    paused_until: Arc<Mutex<Option<Instant>>>,
}

impl Faults {
    /// Calls fail with probability `rate` before, and with the same probability after they ran.
    pub fn new(seed: u64, rate: f64) -> Self {
        Self {
            random: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
            rate,
            latency: Duration::ZERO,
            pauses: None,
            paused_until: Arc::default(),
        }
    }

    /// Adds pauses: with probability `rate` before and after a call, for `length`.
    #[must_use]
    pub fn with_pauses(self, rate: f64, length: Duration) -> Self {
        Self {
            pauses: Some((rate, length)),
            ..self
        }
    }

    /// Adds a random latency of up to `max` before and after each call.
    #[must_use]
    pub fn with_latency(self, max: Duration) -> Self {
        Self {
            latency: max,
            ..self
        }
    }

    /// Returns `true` with this probability.
    pub fn occurs(&self, probability: f64) -> bool {
        self.random.lock().unwrap().random_bool(probability)
    }

    /// Returns a random number below `end`.
    pub fn below(&self, end: u64) -> u64 {
        self.random.lock().unwrap().random_range(0..end)
    }

    async fn pause(&self) {
        if !self.latency.is_zero() {
            let part = self.random.lock().unwrap().random_range(0.0..=1.0);
            tokio::time::sleep(self.latency.mul_f64(part)).await;
        }
        if let Some((rate, length)) = self.pauses {
            let is_paused = self.random.lock().unwrap().random_bool(rate);
            if is_paused {
                *self.paused_until.lock().unwrap() = Some(Instant::now() + length);
            }
        }
        self.wait_while_paused().await;
    }

    /// Waits until the current pause ends; the lease of the caller is not renewed meanwhile.
    async fn wait_while_paused(&self) {
        let until = *self.paused_until.lock().unwrap();
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    fn maybe_fail(&self, when: &str) -> Result<(), StoreError> {
        let fails = self.random.lock().unwrap().random_bool(self.rate);
        if fails {
            return Err(StoreError::unavailable(format!("injected: {when}")));
        }
        Ok(())
    }

    /// Runs a call between two pauses; fails before or after it at random.
    ///
    /// # Errors
    /// Injected failures, and those of the call.
    pub async fn around<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.maybe_fail("nothing done")?;
        self.pause().await;
        let answer = call.await?;
        self.pause().await;
        self.maybe_fail("done, answer lost")?;
        Ok(answer)
    }
}

/// Decorator of a port that adds faults.
pub struct Flaky<D: ?Sized> {
    inner: Arc<D>,
    faults: Faults,
}

impl<D: ?Sized> Flaky<D> {
    /// Decorates a port with faults.
    pub fn new(inner: Arc<D>, faults: &Faults) -> Arc<Self> {
        let faults = faults.clone();
        Arc::new(Self { inner, faults })
    }
}

#[async_trait]
impl EventLog for Flaky<dyn EventLog> {
    async fn append_at(
        &self,
        operations: &[Operation],
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError> {
        // A failed call may also have stored a part of the batch.
        let half = operations.len() / 2;
        if self.faults.maybe_fail("half done").is_err() {
            self.inner.append_at(&operations[..half], now).await?;
            return Err(StoreError::unavailable("injected: half done"));
        }
        self.faults
            .around(self.inner.append_at(operations, now))
            .await
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        self.faults.around(self.inner.read(after, limit)).await
    }

    async fn history(
        &self,
        entity_id: &str,
        after: Position,
        up_to: Position,
    ) -> Result<Vec<LogEntry>, StoreError> {
        self.faults
            .around(self.inner.history(entity_id, after, up_to))
            .await
    }

    async fn find(&self, operation_id: Uuid) -> Result<Option<LogEntry>, StoreError> {
        self.faults.around(self.inner.find(operation_id)).await
    }

    async fn ever_parked(&self, entity_ids: &[&str]) -> Result<Vec<LogEntry>, StoreError> {
        self.faults.around(self.inner.ever_parked(entity_ids)).await
    }

    async fn summaries(&self, query: &SummaryQuery<'_>) -> Result<Vec<LogEntry>, StoreError> {
        self.faults.around(self.inner.summaries(query)).await
    }

    async fn executed(
        &self,
        entity_id: &str,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let inner = self.inner.executed(entity_id, after, up_to, limit);
        self.faults.around(inner).await
    }

    async fn parked(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
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

    async fn snapshots(
        &self,
        ids: &[&str],
        up_to: Position,
    ) -> Result<HashMap<String, EntityRecord>, StoreError> {
        self.faults.around(self.inner.snapshots(ids, up_to)).await
    }
}

#[async_trait]
impl SourceStore for Flaky<dyn SourceStore> {
    async fn load(&self, ids: &[&str]) -> Result<HashMap<String, EntityRecord>, StoreError> {
        self.faults.around(self.inner.load(ids)).await
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

#[async_trait]
impl RowStore for Flaky<dyn RowStore> {
    async fn open(
        &self,
        generation: &Generation,
        feed: &Feed<'_>,
        start: Position,
    ) -> Result<Position, StoreError> {
        let opened = self.inner.open(generation, feed, start);
        self.faults.around(opened).await
    }

    async fn load(&self, generation: &Generation, needs: &Needs) -> Result<Loaded, StoreError> {
        self.faults.around(self.inner.load(generation, needs)).await
    }

    async fn commit(&self, handling: &HandlerCommit) -> Result<(), StoreError> {
        self.faults.around(self.inner.commit(handling)).await
    }

    async fn register(&self, name: &str, version: u32) -> Result<Registration, StoreError> {
        self.faults.around(self.inner.register(name, version)).await
    }

    async fn promote(&self, generation: &Generation) -> Result<(), StoreError> {
        self.faults.around(self.inner.promote(generation)).await
    }
}

#[async_trait]
impl FeedSource for Flaky<dyn FeedSource> {
    async fn head(&self) -> Result<Head, StoreError> {
        self.faults.around(self.inner.head()).await
    }

    /// Returns pages of random size.
    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError> {
        let limit = self.faults.random.lock().unwrap().random_range(1..=limit);
        self.faults.around(self.inner.frames(after, limit)).await
    }

    fn is_live(&self) -> bool {
        self.inner.is_live()
    }
}

#[async_trait]
impl Leases for Flaky<dyn Leases> {
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        self.faults.wait_while_paused().await;
        self.inner.acquire(name, holder, time_to_live).await
    }

    async fn renew(
        &self,
        name: &str,
        lease: &Lease,
        time_to_live: Duration,
    ) -> Result<bool, StoreError> {
        self.faults.wait_while_paused().await;
        self.inner.renew(name, lease, time_to_live).await
    }

    async fn release(&self, name: &str, lease: &Lease) -> Result<(), StoreError> {
        self.inner.release(name, lease).await
    }
}

#[async_trait]
impl<S: ?Sized + Send + Sync + 'static> Rebuilds for Flaky<dyn ShadowStores<S>> {
    async fn request(&self) -> Result<Rebuild, StoreError> {
        self.faults.around(self.inner.request()).await
    }

    async fn last(&self) -> Result<Rebuild, StoreError> {
        self.faults.around(self.inner.last()).await
    }

    async fn abandon(&self, rebuild_id: u64, reason: &str) -> Result<(), StoreError> {
        self.faults
            .around(self.inner.abandon(rebuild_id, reason))
            .await
    }

    async fn progress(&self, rebuild_id: u64) -> Result<(Position, Position), StoreError> {
        self.faults.around(self.inner.progress(rebuild_id)).await
    }
}

#[async_trait]
impl<S: ?Sized + Fallible> ShadowStores<S> for Flaky<dyn ShadowStores<S>> {
    async fn shadow(&self, rebuild_id: u64) -> Result<Arc<S>, StoreError> {
        let shadow = self.faults.around(self.inner.shadow(rebuild_id)).await?;
        Ok(S::flaky(shadow, &self.faults))
    }

    async fn swap(&self, rebuild_id: u64, at: Position) -> Result<(), StoreError> {
        self.faults.around(self.inner.swap(rebuild_id, at)).await
    }

    async fn finish_swap(&self) -> Result<(), StoreError> {
        self.faults.around(self.inner.finish_swap()).await
    }

    async fn remove_obsolete(&self) -> Result<bool, StoreError> {
        self.faults.around(self.inner.remove_obsolete()).await
    }
}

/// Port that [`Flaky`] decorates.
trait Fallible: Send + Sync + 'static {
    fn flaky(inner: Arc<Self>, faults: &Faults) -> Arc<Self>;
}

impl Fallible for dyn SourceStore {
    fn flaky(inner: Arc<Self>, faults: &Faults) -> Arc<Self> {
        Flaky::new(inner, faults)
    }
}

impl Fallible for dyn PresentationStore {
    fn flaky(inner: Arc<Self>, faults: &Faults) -> Arc<Self> {
        Flaky::new(inner, faults)
    }
}
