//! Store of notifications and the results of their delivery.

use async_trait::async_trait;
use uuid::Uuid;

use super::StoreError;
use crate::model::notification::Attempt;
use crate::{Notification, Position, Timestamp};

/// Notifications and the checkpoint of the notifier. They are in the source database, so that a
/// rebuild of the presentation sends nothing again.
#[async_trait]
pub trait Notifications: Send + Sync {
    /// Returns the checkpoint of the notifier. The first call binds the store to the log of this
    /// epoch, and sets the checkpoint to `start`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the store belongs to another log.
    async fn open(&self, epoch: &str, start: Position) -> Result<Position, StoreError>;

    /// Commits a recording atomically: notifications and checkpoint. Notifications whose id already
    /// exists are not changed.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], without any change, when the stored checkpoint differs from
    /// `recording.from`.
    async fn record(&self, recording: &Recording) -> Result<(), StoreError>;

    /// Claims the due notifications of a channel, the longest waiting ones first, and counts an
    /// attempt for each. They are not given to another worker before `claim.until`.
    ///
    /// # Errors
    /// When the store does not answer; some notifications may have been claimed.
    async fn take(&self, lane: &str, claim: Claim) -> Result<Vec<Notification>, StoreError>;

    /// Records the results of attempts. Notifications that another worker has claimed since are not
    /// changed. Repeating is safe.
    ///
    /// # Errors
    /// When the store does not answer; some results may have been recorded.
    async fn settle(&self, attempts: &[Settled]) -> Result<(), StoreError>;

    /// Returns all notifications of an entity, ordered by position.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn of(&self, entity_id: &str) -> Result<Vec<Notification>, StoreError>;
}

/// Notifications of a batch of frames.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Checkpoint before the batch.
    pub from: Position,
    /// Checkpoint after the batch.
    pub to: Position,
    /// Notifications to send.
    pub notifications: Vec<Notification>,
}

/// Parameters of a claim.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Current time.
    pub now: Timestamp,
    /// Expiry of the claim.
    pub until: Timestamp,
    /// Maximum number of notifications.
    pub limit: usize,
}

/// Result of an attempt of a notification.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Id of the notification.
    pub id: Uuid,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Outcome of the attempt.
    pub outcome: Attempt,
}
