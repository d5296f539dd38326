//! Online rebuild of a stage's output: replays the log into a shadow store and swaps it in at
//! equal checkpoints.
//!
//! The leading instance of the stage runs the rebuild between its own batches and with the same
//! code: a second instance of the stage writes to the shadow store and publishes no notices. The
//! stage does not write between two of its batches, so a shadow store at the same position is
//! complete and replaces the live one. A rebuild has no side effects: verdicts in the log are kept,
//! and nothing is sent again.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metrics::counter;
use tokio::time::Instant;

use crate::Position;
use crate::fault_injection::failpoint;
use crate::ports::{Notice, ShadowStores, StoreError};
use crate::stages::runner::Stage;

/// Longest time that one batch of a rebuild should delay the stage; short enough for clients that
/// wait for their own operation.
const BATCH_TIME_BUDGET: Duration = Duration::from_millis(80);
/// Smallest and largest number of events in one batch of a rebuild.
const BATCH_SIZES: RangeInclusive<usize> = 16..=1_024;

/// Interval at which a stage checks whether a rebuild is requested.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A stage whose output can be rebuilt.
#[async_trait]
pub(crate) trait Rebuildable: Stage + Sync {
    /// Store of the stage's output.
    type Store: ?Sized + Send + Sync + 'static;

    /// Creates an instance of the stage that writes to a shadow store and publishes no notices.
    fn shadow(&self, store: Arc<Self::Store>) -> Self;

    /// Replays at most `limit` events up to the position `end`. Returns the position reached.
    async fn replay(&mut self, end: Position, limit: usize) -> Result<Position, StoreError>;

    /// Returns the stage's checkpoint between two batches; `None` until it has been read.
    fn position(&self) -> Option<Position>;

    /// Discards cached values, so that the next batch reads them from the store.
    fn reset(&mut self);
}

/// A stage, and the rebuild of its output that runs between its batches.
pub(crate) struct RebuildRunner<S: Rebuildable> {
    stage: S,
    /// Requests and shadow stores; `None` if this instance never rebuilds.
    rebuilds: Option<Arc<dyn ShadowStores<S::Store>>>,
    polled_at: Option<Instant>,
    /// True if no swap is left unfinished.
    is_swap_finished: bool,
    /// True if no obsolete data is left.
    is_cleaned_up: bool,
    /// Id and stage of the rebuild in progress.
    in_progress: Option<(u64, S)>,
    /// Number of events in the next batch of the rebuild.
    batch_size: usize,
}

impl<S: Rebuildable> RebuildRunner<S> {
    pub(crate) fn new(stage: S, rebuilds: Option<Arc<dyn ShadowStores<S::Store>>>) -> Self {
        Self {
            stage,
            rebuilds,
            polled_at: None,
            is_swap_finished: false,
            is_cleaned_up: false,
            in_progress: None,
            batch_size: *BATCH_SIZES.start(),
        }
    }

    /// Discards all cached values, because another instance may have written.
    pub(crate) fn reset(&mut self) {
        self.stage.reset();
        self.polled_at = None;
        self.is_swap_finished = false;
        self.is_cleaned_up = false;
        self.in_progress = None;
    }

    /// Discards the cached values of the stage, because another instance of it has written. The
    /// rebuild in progress continues.
    pub(crate) fn reset_stage(&mut self) {
        self.stage.reset();
    }

    /// Checks at intervals whether a rebuild is requested, and finishes a swap that was
    /// interrupted. Called before each batch of the stage, which could not be committed during a
    /// swap.
    async fn poll(&mut self, rebuilds: &dyn ShadowStores<S::Store>) -> Result<(), StoreError> {
        let polled_at = self.polled_at;
        if polled_at.is_some_and(|polled_at| polled_at.elapsed() < POLL_INTERVAL) {
            return Ok(());
        }
        self.polled_at = Some(Instant::now());
        if !self.is_swap_finished {
            rebuilds.finish_swap().await?;
            self.is_swap_finished = true;
        }
        let requested = rebuilds.last().await?.in_progress();
        let current = self.in_progress.as_ref().map(|(id, _)| *id);
        if requested == current {
            return Ok(());
        }
        // The shadow store of a rebuild that was cancelled is obsolete.
        self.is_cleaned_up &= self.in_progress.take().is_none();
        if let Some(rebuild_id) = requested {
            let store = rebuilds.shadow(rebuild_id).await?;
            tracing::info!(stage = S::NAME, rebuild_id, "rebuild started");
            self.in_progress = Some((rebuild_id, self.stage.shadow(store)));
        }
        Ok(())
    }

    /// Runs one batch of the rebuild, or removes a part of the obsolete data. Returns whether there
    /// is more to do.
    async fn advance(&mut self, rebuilds: &dyn ShadowStores<S::Store>) -> Result<bool, StoreError> {
        let (Some((rebuild_id, shadow)), Some(live)) =
            (&mut self.in_progress, self.stage.position())
        else {
            let has_more = !self.is_cleaned_up && rebuilds.remove_obsolete().await?;
            self.is_cleaned_up = !has_more;
            return Ok(has_more);
        };
        let rebuild_id = *rebuild_id;
        let from = shadow.position();
        let started = Instant::now();
        let position = shadow.replay(live, self.batch_size).await?;
        self.batch_size = next_batch_size(self.batch_size, started.elapsed());
        let count = from.map_or(0, |from| position.saturating_sub(from));
        counter!("bakehouse_events_remade_total", "stage" => S::NAME).increment(count);
        failpoint("rebuild.batch-written");
        if position == live {
            rebuilds.swap(rebuild_id, live).await?;
            failpoint("rebuild.swapped");
            let stage = S::NAME;
            tracing::info!(stage, rebuild_id, position, "rebuild finished");
            self.reset();
        }
        Ok(true)
    }

    /// Abandons the rebuild after a permanent error. After any other error the rebuild starts over
    /// at the next poll; the stage is not blocked.
    async fn handle_error(&mut self, rebuilds: &dyn ShadowStores<S::Store>, error: StoreError) {
        let stage = S::NAME;
        counter!("bakehouse_rebuild_errors_total", "stage" => stage).increment(1);
        self.is_swap_finished = false;
        self.is_cleaned_up = false;
        let in_progress = self.in_progress.take();
        let is_permanent = matches!(error, StoreError::Corrupt(_) | StoreError::Hole { .. });
        let Some((rebuild_id, _)) = in_progress.filter(|_| is_permanent) else {
            tracing::warn!(stage, "rebuild: will be retried: {error}");
            return;
        };
        tracing::error!(stage, rebuild_id, "rebuild abandoned: {error}");
        // If this fails, the rebuild is started again and fails again.
        let _ = rebuilds.abandon(rebuild_id, &error.to_string()).await;
    }
}

#[async_trait]
impl<S: Rebuildable> Stage for RebuildRunner<S> {
    const NAME: &'static str = S::NAME;

    async fn batch(&mut self) -> Result<bool, StoreError> {
        let rebuilds = self.rebuilds.clone();
        if let Some(rebuilds) = rebuilds.as_deref()
            && let Err(error) = self.poll(rebuilds).await
        {
            self.handle_error(rebuilds, error).await;
        }
        let has_work = match self.stage.batch().await {
            Ok(has_work) => has_work,
            Err(error) => {
                self.reset();
                return Err(error);
            }
        };
        let Some(rebuilds) = rebuilds.as_deref() else {
            return Ok(has_work);
        };
        match self.advance(rebuilds).await {
            Ok(has_more) => Ok(has_more || has_work),
            Err(error) => {
                self.handle_error(rebuilds, error).await;
                Ok(has_work)
            }
        }
    }

    fn on_notice(&mut self, notice: &Notice) {
        self.stage.on_notice(notice);
    }
}

/// Returns the size of the next batch, given the size and duration of the last one.
fn next_batch_size(size: usize, elapsed: Duration) -> usize {
    let next = match elapsed {
        elapsed if elapsed > BATCH_TIME_BUDGET => size / 2,
        elapsed if elapsed < BATCH_TIME_BUDGET / 2 => size * 2,
        _ => size,
    };
    next.clamp(*BATCH_SIZES.start(), *BATCH_SIZES.end())
}

/// Returns the number of events that a shadow store lacks.
///
/// # Errors
/// [`StoreError::Fenced`] when the shadow store is ahead of the live one: another instance leads.
pub(crate) fn remaining(shadow: Position, live: Position) -> Result<usize, StoreError> {
    let count = live.checked_sub(shadow).ok_or(StoreError::Fenced)?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_grow_while_they_are_fast_and_shrink_when_they_are_slow() {
        assert_eq!(next_batch_size(100, BATCH_TIME_BUDGET / 4), 200);
        assert_eq!(next_batch_size(100, BATCH_TIME_BUDGET), 100);
        assert_eq!(next_batch_size(100, 2 * BATCH_TIME_BUDGET), 50);
        assert_eq!(
            next_batch_size(*BATCH_SIZES.end(), Duration::ZERO),
            *BATCH_SIZES.end()
        );
        assert_eq!(
            next_batch_size(*BATCH_SIZES.start(), 9 * BATCH_TIME_BUDGET),
            *BATCH_SIZES.start()
        );
    }
}
