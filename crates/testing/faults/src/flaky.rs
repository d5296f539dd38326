//! Ports that fail: before the call, or after it, so that only the answer is lost. Calls may take
//! time, and their caller may be paused beyond its lease.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::ports::{
    Appended, EventLog, FeedSource, Lease, Leases, PresentationStore, ShadowStores, SourceStore,
    StoreError,
};
use bakehouse_engine::{Frame, Operation, Position, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use crate::intercept::{Intercepted, Interceptor};
use crate::ports::{
    EventLogHooks, FeedSourceHooks, LeasesHooks, PresentationStoreHooks, ProgressHooks,
    RebuildsHooks, RowStoreHooks, ShadowStoresHooks, SourceStoreHooks,
};

/// Random decisions about which calls fail, by a seed. Clones share them.
#[derive(Clone)]
pub struct Faults {
    random: Arc<Mutex<StdRng>>,
    rate: f64,
    /// Maximum delay before a call, and after it.
    latency: Duration,
    /// Probability and length of a pause.
    pauses: Option<(f64, Duration)>,
    /// Time until which all callers with these faults are paused.
    paused_until: Arc<Mutex<Option<Instant>>>,
}

impl Faults {
    /// Calls fail before with probability `rate`, and after with the same probability.
    #[must_use]
    pub fn new(seed: u64, rate: f64) -> Self {
        Self {
            random: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
            rate,
            latency: Duration::ZERO,
            pauses: None,
            paused_until: Arc::default(),
        }
    }

    /// Adds pauses of the caller, before and after a call, with this probability and length.
    #[must_use]
    pub fn with_pauses(self, rate: f64, length: Duration) -> Self {
        Self {
            pauses: Some((rate, length)),
            ..self
        }
    }

    /// Adds a random delay up to this length before and after each call. The caller may be killed
    /// during the delay.
    #[must_use]
    pub fn with_latency(self, max: Duration) -> Self {
        Self {
            latency: max,
            ..self
        }
    }

    /// Returns `true` with this probability.
    #[must_use]
    pub fn occurs(&self, probability: f64) -> bool {
        self.random().random_bool(probability)
    }

    /// Returns a random number below `end`.
    #[must_use]
    pub fn below(&self, end: u64) -> u64 {
        self.random().random_range(0..end)
    }

    fn random(&self) -> MutexGuard<'_, StdRng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn paused_until(&self) -> MutexGuard<'_, Option<Instant>> {
        let paused_until = self.paused_until.lock();
        paused_until.unwrap_or_else(PoisonError::into_inner)
    }

    async fn delay(&self) {
        if !self.latency.is_zero() {
            let part = self.random().random_range(0.0..=1.0);
            tokio::time::sleep(self.latency.mul_f64(part)).await;
        }
        if let Some((rate, length)) = self.pauses
            && self.occurs(rate)
        {
            *self.paused_until() = Some(Instant::now() + length);
        }
        self.wait_while_paused().await;
    }

    /// Waits until the end of a pause, like a process that gets no CPU time: its lease is not
    /// renewed meanwhile.
    async fn wait_while_paused(&self) {
        let until = *self.paused_until();
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    fn fail(&self, when: &str) -> Result<(), StoreError> {
        if self.occurs(self.rate) {
            return Err(StoreError::unavailable(format!("injected: {when}")));
        }
        Ok(())
    }
}

impl Interceptor for Faults {
    async fn around<T: Send>(
        &self,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.fail("nothing done")?;
        self.delay().await;
        let answer = call.await?;
        self.delay().await;
        self.fail("done, answer lost")?;
        Ok(answer)
    }
}

/// Port with faults.
pub type Flaky<P> = Intercepted<P, Faults>;

impl<P: ?Sized> Flaky<P> {
    /// Puts faults around the port.
    pub fn new(inner: Arc<P>, faults: &Faults) -> Arc<Self> {
        Self::with(inner, faults.clone())
    }
}

#[async_trait]
impl EventLogHooks for Faults {
    /// Fails also after half of the batch: an answer may be lost of a batch stored in part.
    async fn append_at(
        &self,
        inner: &Arc<dyn EventLog>,
        operations: &[Operation],
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError> {
        if let Err(error) = self.fail("half done") {
            let half = operations.len() / 2;
            inner.append_at(&operations[..half], now).await?;
            return Err(error);
        }
        self.around(inner.append_at(operations, now)).await
    }
}

impl ProgressHooks for Faults {}

impl SourceStoreHooks for Faults {}

impl PresentationStoreHooks for Faults {}

impl RowStoreHooks for Faults {}

#[async_trait]
impl FeedSourceHooks for Faults {
    /// Reads frames in pieces of random size.
    async fn frames(
        &self,
        inner: &Arc<dyn FeedSource>,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Frame>, StoreError> {
        let limit = self.random().random_range(1..=limit);
        self.around(inner.frames(after, limit)).await
    }
}

/// Leases do not fail, but their holder may be paused.
#[async_trait]
impl LeasesHooks for Faults {
    async fn acquire(
        &self,
        inner: &Arc<dyn Leases>,
        name: &str,
        holder: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        self.wait_while_paused().await;
        inner.acquire(name, holder, time_to_live).await
    }

    async fn renew(
        &self,
        inner: &Arc<dyn Leases>,
        name: &str,
        lease: &Lease,
        time_to_live: Duration,
    ) -> Result<bool, StoreError> {
        self.wait_while_paused().await;
        inner.renew(name, lease, time_to_live).await
    }

    async fn release(
        &self,
        inner: &Arc<dyn Leases>,
        name: &str,
        lease: &Lease,
    ) -> Result<(), StoreError> {
        inner.release(name, lease).await
    }
}

impl<S: ?Sized + Send + Sync + 'static> RebuildsHooks<S> for Faults {}

#[async_trait]
impl<S: ?Sized + Fallible> ShadowStoresHooks<S> for Faults {
    /// Returns a shadow store with the same faults.
    async fn shadow(
        &self,
        inner: &Arc<dyn ShadowStores<S>>,
        rebuild_id: u64,
    ) -> Result<Arc<S>, StoreError> {
        let shadow = self.around(inner.shadow(rebuild_id)).await?;
        Ok(S::flaky(shadow, self))
    }
}

/// Stores of a rebuild that faults can be put around.
trait Fallible: Send + Sync + 'static {
    /// Puts faults around the store.
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
