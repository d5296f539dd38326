//! A feed, to be followed by handlers: one's own, or another service's.

use async_trait::async_trait;

use super::{Head, StoreError};
use crate::{Frame, Position};

/// Frames of one domain, from the first on.
#[async_trait]
pub trait FeedSource: Send + Sync {
    /// The log behind them, and the position of its last frame.
    ///
    /// # Errors
    /// When that cannot be found out now.
    async fn head(&self) -> Result<Head, StoreError>;

    /// Frames after a position, in order, without gaps, at most `limit`. None: there
    /// are no more for now, or they are on their way.
    ///
    /// # Errors
    /// When the other side does not answer, or cannot serve that position.
    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError>;

    /// Whether all that there was when it was last asked has been given out; what
    /// follows is news.
    fn is_live(&self) -> bool;
}
