//! attendant: a process manager at work, by the lease.

use async_trait::async_trait;

use super::follower::{FollowDoors, Follower, Start};
use super::projector::{Surroundings, attend};
use super::{AnyHandler, FollowSettings, Generation};
use crate::backoff::Backoff;
use crate::ports::StoreError;
use crate::stage::Stage;
use crate::{Position, Shutdown};

/// Runs until shutdown.
pub async fn run(
    doors: FollowDoors,
    handler: AnyHandler,
    surroundings: Surroundings,
    settings: FollowSettings,
    shutdown: Shutdown,
) {
    let name = format!("process/{}", handler.name());
    let attendant = Attendant::new(doors, handler, settings.max_batch);
    attend(name, attendant, surroundings, &settings, &shutdown).await;
}

/// Settles where a process manager begins that has never been at work: with what is
/// executed from now on. Waits for the stores. `false`: shutdown came first.
pub async fn prepare(doors: &FollowDoors, handler: &AnyHandler, shutdown: &Shutdown) -> bool {
    let mut attendant = Attendant::new(doors.clone(), handler.clone(), 1);
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        match attendant.0.begin().await {
            Ok(()) => return true,
            Err(error) => tracing::warn!(stage = Attendant::NAME, "waiting: {error}"),
        }
        backoff.wait(shutdown).await;
    }
    false
}

/// A process manager's state, and what it has done.
pub struct Attendant(Follower);

impl Attendant {
    /// Of this process manager, in batches of this many facts at most.
    #[must_use]
    pub fn new(doors: FollowDoors, handler: AnyHandler, max_batch: usize) -> Self {
        let generation = Generation {
            name: format!("process-{}", handler.name()),
            version: 0,
            round: 0,
        };
        let start = Start::News;
        Self(Follower::new(doors, handler, generation, start, max_batch))
    }

    /// Within a transaction over all of a store, if it is up to date.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn join(mut self, baked: Position) -> Result<Option<Follower>, StoreError> {
        let is_up_to_date = self.0.is_up_to_date(baked).await?;
        Ok(is_up_to_date.then_some(self.0))
    }
}

#[async_trait]
impl Stage for Attendant {
    const NAME: &'static str = "attendant";

    async fn batch(&mut self) -> Result<bool, StoreError> {
        Ok(self.0.look().await?.is_news)
    }
}
