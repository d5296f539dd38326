//! attendant: a process manager at work, by the lease.

use async_trait::async_trait;

use super::projector::{RunnerContext, attend};
use super::runner::{HandlerDeps, HandlerRunner, Start};
use super::{AnyHandler, Generation, HandlerSettings};
use crate::backoff::Backoff;
use crate::ports::StoreError;
use crate::stages::runner::Stage;
use crate::{Position, Shutdown};

/// Runs until shutdown.
pub async fn run(
    deps: HandlerDeps,
    handler: AnyHandler,
    context: RunnerContext,
    settings: HandlerSettings,
    shutdown: Shutdown,
) {
    let name = format!("process/{}", handler.name());
    let process_runner = ProcessRunner::new(deps, handler, settings.max_batch);
    attend(name, process_runner, context, &settings, &shutdown).await;
}

/// Settles where a process manager begins that has never been at work: with what is
/// executed from now on. Waits for the stores. `false`: shutdown came first.
pub async fn prepare(deps: &HandlerDeps, handler: &AnyHandler, shutdown: &Shutdown) -> bool {
    let mut process_runner = ProcessRunner::new(deps.clone(), handler.clone(), 1);
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        match process_runner.0.begin().await {
            Ok(()) => return true,
            Err(error) => tracing::warn!(stage = ProcessRunner::NAME, "waiting: {error}"),
        }
        backoff.wait(shutdown).await;
    }
    false
}

/// A process manager's state, and what it has done.
pub struct ProcessRunner(HandlerRunner);

impl ProcessRunner {
    /// Of this process manager, in batches of this many facts at most.
    #[must_use]
    pub fn new(deps: HandlerDeps, handler: AnyHandler, max_batch: usize) -> Self {
        let generation = Generation {
            name: format!("process-{}", handler.name()),
            version: 0,
            round: 0,
        };
        let start = Start::WakeSignal;
        Self(HandlerRunner::new(
            deps, handler, generation, start, max_batch,
        ))
    }

    /// Within a transaction over all of a store, if it is up to date.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn join(
        mut self,
        baked: Position,
    ) -> Result<Option<HandlerRunner>, StoreError> {
        let is_up_to_date = self.0.is_up_to_date(baked).await?;
        Ok(is_up_to_date.then_some(self.0))
    }
}

#[async_trait]
impl Stage for ProcessRunner {
    const NAME: &'static str = "attendant";

    async fn batch(&mut self) -> Result<bool, StoreError> {
        Ok(self.0.look().await?.is_news)
    }
}
