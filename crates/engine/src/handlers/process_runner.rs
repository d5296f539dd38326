//! Stage that runs a process manager while it holds the lease.

use async_trait::async_trait;

use super::projector::{RunnerContext, run_stage};
use super::runner::{HandlerDeps, HandlerRunner, Start};
use super::{AnyHandler, Generation, HandlerSettings};
use crate::backoff::Backoff;
use crate::ports::StoreError;
use crate::stages::runner::Stage;
use crate::{Position, Shutdown};

/// Runs a process manager until shutdown.
pub async fn run(
    deps: HandlerDeps,
    handler: AnyHandler,
    context: RunnerContext,
    settings: HandlerSettings,
    shutdown: Shutdown,
) {
    let name = format!("process/{}", handler.name());
    let process_runner = ProcessRunner::new(deps, handler, settings.max_batch);
    run_stage(name, process_runner, context, &settings, &shutdown).await;
}

/// Stores the start position of a process manager that has none yet: the position up to which the
/// log is executed. Waits for the stores. Returns `false` if shutdown came first.
pub async fn prepare(deps: &HandlerDeps, handler: &AnyHandler, shutdown: &Shutdown) -> bool {
    let mut process_runner = ProcessRunner::new(deps.clone(), handler.clone(), 1);
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        match process_runner.0.open_own_feed().await {
            Ok(()) => return true,
            Err(error) => tracing::warn!(stage = ProcessRunner::NAME, "waiting: {error}"),
        }
        backoff.wait(shutdown).await;
    }
    false
}

/// Stage that runs a process manager.
pub struct ProcessRunner(HandlerRunner);

impl ProcessRunner {
    /// Creates the stage of a process manager, with at most `max_batch` events per batch.
    #[must_use]
    pub fn new(deps: HandlerDeps, handler: AnyHandler, max_batch: usize) -> Self {
        let generation = Generation {
            name: format!("process-{}", handler.name()),
            version: 0,
            round: 0,
        };
        let start = Start::Head;
        Self(HandlerRunner::new(
            deps, handler, generation, start, max_batch,
        ))
    }

    /// Returns the runner, for use within a transaction of the whole store, if it has handled the
    /// own feed up to `baked`.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
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
    // Word of the first version for a process manager; a label in logs and metrics.
    const NAME: &'static str = "attendant";

    async fn batch(&mut self) -> Result<bool, StoreError> {
        Ok(self.0.poll_feeds().await?.has_progressed)
    }
}
