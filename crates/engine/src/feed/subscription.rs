//! Subscribing to the feed, and the cursor of one subscriber on it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::FeedError;
use super::hub::{Feed, MAX_CATCH_UP_PAGE};
use super::ring::SharedFrame;
use crate::Position;
use crate::fault_injection::is_on;

/// Maximum number of frames returned at once from the ring: a subscriber that does not read keeps
/// them in memory.
const MAX_RUN: usize = 32;

/// Maximum time to wait for a position that another, faster process has already delivered.
const AHEAD_TIMEOUT: Duration = Duration::from_secs(3);

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
pub enum FeedItem {
    /// Next frames in order, without a gap; never empty.
    Frames(Vec<Arc<SharedFrame>>),
    /// The subscriber has caught up at this position; returned once.
    Live(Position),
}

impl Feed {
    /// Subscribes to all frames after `since`, or after the current head if it is `None`.
    ///
    /// # Errors
    /// [`FeedError::Unavailable`] until the presentation was first read;
    /// [`FeedError::OtherEpoch`] if `epoch` is not the epoch of this log;
    /// [`FeedError::Ahead`] if `since` is after the head.
    pub fn subscribe(
        self: &Arc<Self>,
        since: Option<Position>,
        epoch: Option<&str>,
    ) -> Result<Subscription, FeedError> {
        let ours = self.epoch().ok_or(FeedError::Unavailable)?;
        if epoch.is_some_and(|theirs| theirs != ours) {
            return Err(FeedError::OtherEpoch);
        }
        let seen = self.head.subscribe();
        let head = *seen.borrow();
        let since = since.unwrap_or(head);
        if since > head {
            return Err(FeedError::Ahead { head });
        }
        let skipped = u64::from(is_on("since-off-by-one") && since > 0);
        Ok(Subscription::new(self.clone(), seen, since + skipped))
    }

    /// Subscribes like [`Feed::subscribe`], and waits up to 3 s for a position that another
    /// process has already delivered.
    ///
    /// # Errors
    /// The errors of [`Feed::subscribe`]. [`FeedError::Ahead`] is returned only after the wait and
    /// if the store does not have the position; if the store has it, this process is behind and
    /// the error is [`FeedError::Unavailable`]. [`FeedError::Store`] if the store does not answer.
    pub async fn join(
        self: &Arc<Self>,
        since: Option<Position>,
        epoch: Option<&str>,
    ) -> Result<Subscription, FeedError> {
        match (self.subscribe(since, epoch), since) {
            (Err(FeedError::Ahead { .. }), Some(since)) => {
                let _ = tokio::time::timeout(AHEAD_TIMEOUT, self.reached(since)).await;
                match self.subscribe(Some(since), epoch) {
                    Err(FeedError::Ahead { .. }) if self.reader.head().await?.position >= since => {
                        Err(FeedError::Unavailable)
                    }
                    joined => joined,
                }
            }
            (joined, _) => joined,
        }
    }
}

impl Subscription {
    fn new(feed: Arc<Feed>, head: watch::Receiver<Position>, cursor: Position) -> Self {
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
    pub async fn next(&mut self) -> Result<FeedItem, FeedError> {
        loop {
            // Mark the head as seen before reading, so that a later change wakes this task.
            self.head.borrow_and_update();
            match self.feed.recent(self.cursor, MAX_RUN) {
                Some(frames) if !frames.is_empty() => return Ok(self.advance(frames)),
                Some(_) if !self.is_live => {
                    self.is_live = true;
                    return Ok(FeedItem::Live(self.cursor));
                }
                Some(_) => self.head_changed().await?,
                None if self.is_live => {
                    return Err(FeedError::TooSlow {
                        cursor: self.cursor,
                    });
                }
                None => {
                    let frames = self.feed.stored(self.cursor, &mut self.page).await?;
                    let frames: Vec<_> = frames.into_iter().map(SharedFrame::new).collect();
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

    fn advance(&mut self, frames: Vec<Arc<SharedFrame>>) -> FeedItem {
        self.cursor = frames.last().map_or(self.cursor, |frame| frame.position);
        FeedItem::Frames(frames)
    }

    async fn head_changed(&mut self) -> Result<(), FeedError> {
        self.head
            .changed()
            .await
            .map_err(|_| FeedError::Unavailable)
    }
}
