//! Source of feed frames for handlers: the domain's own feed, or that of another service.

use async_trait::async_trait;

use super::{Head, StoreError};
use crate::{Frame, Position};

/// Frames of one domain, from the first one on.
#[async_trait]
pub trait FeedSource: Send + Sync {
    /// Returns the identity of the log, and the position of its last frame.
    ///
    /// # Errors
    /// When the source does not answer.
    async fn head(&self) -> Result<Head, StoreError>;

    /// Returns the frames after a position, in order, without gaps, at most `limit`. An empty
    /// result means that there are no more frames now, or that they have not arrived yet.
    ///
    /// # Errors
    /// When the source does not answer, or cannot serve that position.
    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError>;

    /// Checks whether all frames that existed at the last request have been returned. Later frames
    /// are new.
    fn is_live(&self) -> bool;
}
