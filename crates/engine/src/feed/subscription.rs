//! Cursor of one subscriber on the feed.

use std::sync::Arc;

use tokio::sync::watch;

use super::Feed;
use super::hub::MAX_CATCH_UP_PAGE;
use super::ring::Shared;
use crate::Position;
use crate::ports::StoreError;

/// Maximum number of frames returned at once from the ring: a subscriber that does not read keeps
/// them in memory.
const MAX_RUN: usize = 32;

/// Cursor on the feed. It holds no frames, so that slow subscribers take no memory.
pub struct Subscription {
    feed: Arc<Feed>,
    head: watch::Receiver<Position>,
    cursor: Position,
    is_live: bool,
    /// Number of frames of the next read of the store.
    page: usize,
}

/// Next item for a subscriber.
#[derive(Debug)]
pub enum Step {
    /// Next frames in order, without a gap; never empty.
    Frames(Vec<Arc<Shared>>),
    /// The subscriber has caught up at this position; returned once.
    Live(Position),
}

/// Error of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// The presentation could not be read yet.
    #[error("the feed is not available yet")]
    Unavailable,
    /// The subscriber's position belongs to another log.
    #[error("the position belongs to another epoch of the log")]
    OtherEpoch,
    /// The subscriber's position is after the head of the feed.
    #[error("the position is ahead of the feed, which ends at {head}")]
    Ahead {
        /// Last position of the feed.
        head: Position,
    },
    /// The subscriber was too slow: its next frame is no longer in memory.
    #[error("too slow: position {cursor} is the last one sent")]
    TooSlow {
        /// Last position returned.
        cursor: Position,
    },
    /// The store does not answer.
    #[error("the feed's history cannot be read: {0}")]
    Store(#[from] StoreError),
}

impl Subscription {
    pub(super) fn new(feed: Arc<Feed>, head: watch::Receiver<Position>, cursor: Position) -> Self {
        Self {
            feed,
            head,
            cursor,
            is_live: false,
            page: MAX_CATCH_UP_PAGE,
        }
    }

    /// Returns the last position handed out.
    #[must_use]
    pub fn cursor(&self) -> Position {
        self.cursor
    }

    /// Waits for the next item. Cancel-safe.
    ///
    /// # Errors
    /// [`FeedError::TooSlow`] if the next frame is no longer in memory, [`FeedError::Store`] if the
    /// store does not answer, and [`FeedError::Unavailable`] if the store ends before the ring. The
    /// subscriber may subscribe again with its cursor.
    pub async fn next(&mut self) -> Result<Step, FeedError> {
        loop {
            // Mark the head as seen before reading, so that a later change wakes this task.
            self.head.borrow_and_update();
            match self.feed.recent(self.cursor, MAX_RUN) {
                Some(frames) if !frames.is_empty() => return Ok(self.advance(frames)),
                Some(_) if !self.is_live => {
                    self.is_live = true;
                    return Ok(Step::Live(self.cursor));
                }
                Some(_) => self.head_changed().await?,
                None if self.is_live => {
                    return Err(FeedError::TooSlow {
                        cursor: self.cursor,
                    });
                }
                None => {
                    let frames = self.feed.stored(self.cursor, &mut self.page).await?;
                    let frames: Vec<_> = frames.into_iter().map(Shared::new).collect();
                    if frames.is_empty() {
                        // Frames from the store may be ahead of this process's ring.
                        let is_ahead = *self.head.borrow() < self.cursor;
                        if !is_ahead {
                            return Err(FeedError::Unavailable);
                        }
                        self.head_changed().await?;
                        continue;
                    }
                    return Ok(self.advance(frames));
                }
            }
        }
    }

    fn advance(&mut self, frames: Vec<Arc<Shared>>) -> Step {
        self.cursor = frames.last().map_or(self.cursor, |frame| frame.position);
        Step::Frames(frames)
    }

    async fn head_changed(&mut self) -> Result<(), FeedError> {
        self.head
            .changed()
            .await
            .map_err(|_| FeedError::Unavailable)
    }
}
