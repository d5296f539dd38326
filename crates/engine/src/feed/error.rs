//! Errors of a subscription.

use crate::Position;
use crate::ports::StoreError;

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
