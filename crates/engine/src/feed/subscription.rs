//! One subscriber's way along the feed.

use std::sync::Arc;

use tokio::sync::watch;

use super::Feed;
use super::hub::CATCH_UP_PAGE;
use super::ring::Shared;
use crate::Position;
use crate::ports::StoreError;

/// Frames handed out at once while live: what a subscriber that does not read
/// keeps from being freed.
const RUN: usize = 32;

/// A cursor on the feed. It holds no frames, so a slow subscriber costs nothing.
pub struct Subscription {
    feed: Arc<Feed>,
    head: watch::Receiver<Position>,
    cursor: Position,
    live: bool,
    /// Frames to be read at once from the store: as many as are handed out at once.
    page: usize,
}

/// What a subscriber is to be told next.
#[derive(Debug)]
pub enum Step {
    /// The next frames, in order, without a gap; never empty.
    Frames(Vec<Arc<Shared>>),
    /// Once: it has caught up, at this position.
    Live(Position),
}

/// Why a subscription cannot begin, or cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// The presentation has not been reached yet.
    #[error("the feed is not available yet")]
    Unavailable,
    /// The subscriber's position is of another log.
    #[error("the position belongs to another epoch of the log")]
    OtherEpoch,
    /// The subscriber's position does not exist yet.
    #[error("the position is ahead of the feed, which ends at {head}")]
    Ahead {
        /// Where the feed ends.
        head: Position,
    },
    /// The subscriber was so slow that its next frame is no longer in memory.
    #[error("too slow: position {cursor} is the last one sent")]
    TooSlow {
        /// The last position handed out.
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
            live: false,
            page: CATCH_UP_PAGE,
        }
    }

    /// The last position handed out.
    #[must_use]
    pub fn cursor(&self) -> Position {
        self.cursor
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`FeedError::TooSlow`] and [`FeedError::Store`]; the subscriber may come
    /// back with its cursor.
    pub async fn next(&mut self) -> Result<Step, FeedError> {
        loop {
            // Seen before looking, so that what comes after the look wakes us.
            self.head.borrow_and_update();
            match self.feed.recent(self.cursor, RUN) {
                Some(frames) if !frames.is_empty() => return Ok(self.advance(frames)),
                Some(_) if !self.live => {
                    self.live = true;
                    return Ok(Step::Live(self.cursor));
                }
                Some(_) => self.changed().await?,
                None if self.live => {
                    return Err(FeedError::TooSlow {
                        cursor: self.cursor,
                    });
                }
                None => {
                    let frames = self.feed.stored(self.cursor, &mut self.page).await?;
                    let frames: Vec<_> = frames.into_iter().map(Shared::new).collect();
                    if frames.is_empty() {
                        // The store may have been read further than this process has come.
                        let is_ahead = *self.head.borrow() < self.cursor;
                        if !is_ahead {
                            return Err(FeedError::Unavailable);
                        }
                        self.changed().await?;
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

    async fn changed(&mut self) -> Result<(), FeedError> {
        self.head
            .changed()
            .await
            .map_err(|_| FeedError::Unavailable)
    }
}
