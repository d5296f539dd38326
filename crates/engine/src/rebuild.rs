//! Making anew what a stage has made, while it goes on and what it makes is read.
//!
//! Whoever leads does it, between its own batches and by the same code: another of the
//! stage, which writes to a second generation of its store and tells nobody. Between two
//! batches the stage is at rest; once the second generation stands at the same position
//! it is as good as the first, and takes its place. Nothing that happened before can
//! happen again: verdicts stay as they were given, and nobody is told.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use metrics::counter;
use tokio::time::Instant;

use crate::Position;
use crate::fault_injection::point;
use crate::ports::{Notice, ShadowStores, StoreError};
use crate::stages::runner::Stage;

/// How long the stage is to wait for a piece of what is made anew: nobody who waits for an
/// order of their own should notice.
const PIECE: Duration = Duration::from_millis(80);
/// How many events a piece has, at least and at most.
const SIZES: RangeInclusive<usize> = 16..=1_024;

/// How often it is looked whether anything is asked for.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// A stage whose work can be made anew.
#[async_trait]
pub(crate) trait Rebuildable: Stage + Sync {
    /// Where its work goes.
    type Store: ?Sized + Send + Sync + 'static;

    /// One that makes the same there, and tells nobody.
    fn beside(&self, store: Arc<Self::Store>) -> Self;

    /// So many events at most of what is left up to a position; how far it has come then.
    async fn make(&mut self, end: Position, most: usize) -> Result<Position, StoreError>;

    /// Where it stands, between two batches.
    fn at(&self) -> Option<Position>;

    /// Whatever it remembers is to be read anew.
    fn forget(&mut self);
}

/// A stage, and what is made anew beside it.
pub(crate) struct RebuildRunner<M: Rebuildable> {
    stage: M,
    /// `None`: nothing ever is.
    rebuilds: Option<Arc<dyn ShadowStores<M::Store>>>,
    looked: Option<Instant>,
    /// No replacement is half done.
    is_whole: bool,
    /// Nothing is left to be removed.
    is_tidy: bool,
    under_way: Option<(u64, M)>,
    /// Events of the next piece.
    size: usize,
}

impl<M: Rebuildable> RebuildRunner<M> {
    pub(crate) fn new(stage: M, rebuilds: Option<Arc<dyn ShadowStores<M::Store>>>) -> Self {
        Self {
            stage,
            rebuilds,
            looked: None,
            is_whole: false,
            is_tidy: false,
            under_way: None,
            size: *SIZES.start(),
        }
    }

    /// Somebody else has been at work: nothing that is known may be relied upon.
    pub(crate) fn forget(&mut self) {
        self.stage.forget();
        self.looked = None;
        self.is_whole = false;
        self.is_tidy = false;
        self.under_way = None;
    }

    /// The stage has gone on without this one.
    pub(crate) fn resume(&mut self) {
        self.stage.forget();
    }

    /// Looks, now and then, whether anything is asked for; before a batch of the stage,
    /// which could not be written while a replacement is half done.
    async fn look(&mut self, rebuilds: &dyn ShadowStores<M::Store>) -> Result<(), StoreError> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        if !self.is_whole {
            rebuilds.finish().await?;
            self.is_whole = true;
        }
        let wanted = rebuilds.last().await?.under_way();
        let known = self.under_way.as_ref().map(|(round, _)| *round);
        if wanted == known {
            return Ok(());
        }
        // What somebody has ended is to be removed.
        self.is_tidy &= self.under_way.take().is_none();
        if let Some(round) = wanted {
            let store = rebuilds.beside(round).await?;
            tracing::info!(stage = M::NAME, round, "making everything anew");
            self.under_way = Some((round, self.stage.beside(store)));
        }
        Ok(())
    }

    /// A batch of what is made anew, or a piece of what is to be removed. `true`: there
    /// is more.
    async fn step(&mut self, rebuilds: &dyn ShadowStores<M::Store>) -> Result<bool, StoreError> {
        let (Some((round, maker)), Some(at)) = (&mut self.under_way, self.stage.at()) else {
            let has_more = !self.is_tidy && rebuilds.tidy().await?;
            self.is_tidy = !has_more;
            return Ok(has_more);
        };
        let round = *round;
        let from = maker.at();
        let began = Instant::now();
        let made = maker.make(at, self.size).await?;
        self.size = resized(self.size, began.elapsed());
        let count = from.map_or(0, |from| made.saturating_sub(from));
        counter!("bakehouse_events_remade_total", "stage" => M::NAME).increment(count);
        point("rebuild.made");
        if made == at {
            rebuilds.replace(round, at).await?;
            point("rebuild.replaced");
            let stage = M::NAME;
            tracing::info!(stage, round, position = at, "what was made anew is read");
            self.forget();
        }
        Ok(true)
    }

    /// What will never be otherwise ends the round; all else is tried again after a
    /// while, and holds up nothing meanwhile.
    async fn failed(&mut self, rebuilds: &dyn ShadowStores<M::Store>, error: StoreError) {
        let stage = M::NAME;
        counter!("bakehouse_rebuild_errors_total", "stage" => stage).increment(1);
        self.is_whole = false;
        self.is_tidy = false;
        let under_way = self.under_way.take();
        let is_final = matches!(error, StoreError::Corrupt(_) | StoreError::Hole { .. });
        let Some((round, _)) = under_way.filter(|_| is_final) else {
            tracing::warn!(stage, "making anew, again: {error}");
            return;
        };
        tracing::error!(
            stage,
            round,
            "what was being made anew is given up: {error}"
        );
        // Where that fails, it is begun again, and fails again.
        let _ = rebuilds.give_up(round, &error.to_string()).await;
    }
}

#[async_trait]
impl<M: Rebuildable> Stage for RebuildRunner<M> {
    const NAME: &'static str = M::NAME;

    async fn batch(&mut self) -> Result<bool, StoreError> {
        let rebuilds = self.rebuilds.clone();
        if let Some(rebuilds) = rebuilds.as_deref()
            && let Err(error) = self.look(rebuilds).await
        {
            self.failed(rebuilds, error).await;
        }
        let is_news = match self.stage.batch().await {
            Ok(is_news) => is_news,
            Err(error) => {
                self.forget();
                return Err(error);
            }
        };
        let Some(rebuilds) = rebuilds.as_deref() else {
            return Ok(is_news);
        };
        match self.step(rebuilds).await {
            Ok(has_more) => Ok(has_more || is_news),
            Err(error) => {
                self.failed(rebuilds, error).await;
                Ok(is_news)
            }
        }
    }

    fn hear(&mut self, notice: &Notice) {
        self.stage.hear(notice);
    }
}

/// The size of the next piece, after one of this size that took so long.
fn resized(size: usize, took: Duration) -> usize {
    let next = match took {
        took if took > PIECE => size / 2,
        took if took < PIECE / 2 => size * 2,
        _ => size,
    };
    next.clamp(*SIZES.start(), *SIZES.end())
}

/// How many positions a generation lacks.
///
/// # Errors
/// [`StoreError::Fenced`] when it is ahead of what is read: somebody else leads.
pub(crate) fn left(made: Position, end: Position) -> Result<usize, StoreError> {
    let left = end.checked_sub(made).ok_or(StoreError::Fenced)?;
    Ok(usize::try_from(left).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_while_they_are_quick_and_shrink_when_they_are_not() {
        assert_eq!(resized(100, PIECE / 4), 200);
        assert_eq!(resized(100, PIECE), 100);
        assert_eq!(resized(100, 2 * PIECE), 50);
        assert_eq!(resized(*SIZES.end(), Duration::ZERO), *SIZES.end());
        assert_eq!(resized(*SIZES.start(), 9 * PIECE), *SIZES.start());
    }
}
