//! Tasks that run side by side in a process.

use std::time::Duration;

use anyhow::{Context, Result};
use bakehouse_engine::Shutdown;
use tokio::task::JoinSet;

/// Time that each of the other tasks may take to end after one has failed.
const FAILURE_TIMEOUT: Duration = Duration::from_secs(4);

/// Tasks that all run until shutdown. When one ends earlier, fails or panics, the others are shut
/// down as well, and a supervisor can restart the process.
pub struct Tasks {
    tasks: JoinSet<Result<()>>,
    shutdown: Shutdown,
}

impl Tasks {
    /// Creates an empty set.
    #[must_use]
    pub fn new(shutdown: &Shutdown) -> Self {
        Self {
            tasks: JoinSet::new(),
            shutdown: shutdown.clone(),
        }
    }

    /// Runs a task that cannot fail.
    pub fn run(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async {
            task.await;
            Ok(())
        });
    }

    /// Runs a task that can fail.
    pub fn try_run<E>(&mut self, task: impl Future<Output = Result<(), E>> + Send + 'static)
    where
        E: Into<anyhow::Error>,
    {
        self.tasks.spawn(async { task.await.map_err(Into::into) });
    }

    /// Waits until all tasks have ended.
    ///
    /// # Errors
    /// The first failure.
    pub async fn ended(mut self) -> Result<()> {
        let mut outcome = Ok(());
        while let Some(ended) = self.next(&outcome).await {
            let ended = ended.context("a task panicked").and_then(|ended| ended);
            if !self.shutdown.is_cancelled() && ended.is_ok() {
                tracing::error!("a task ended before shutdown");
            }
            self.shutdown.cancel();
            outcome = outcome.and(ended);
        }
        outcome
    }

    /// Returns the next task that ends; `None` if the rest does not end in time after a failure.
    async fn next(
        &mut self,
        outcome: &Result<()>,
    ) -> Option<Result<Result<()>, tokio::task::JoinError>> {
        if outcome.is_ok() {
            return self.tasks.join_next().await;
        }
        let next = tokio::time::timeout(FAILURE_TIMEOUT, self.tasks.join_next()).await;
        next.unwrap_or_else(|_| {
            tracing::warn!("tasks did not end in time after a failure; exiting");
            None
        })
    }
}
