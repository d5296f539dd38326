//! The record of notifications: what is to be sent, and what became of it.

use async_trait::async_trait;
use uuid::Uuid;

use super::StoreError;
use crate::model::notification::Attempt;
use crate::{Notification, Position, Timestamp};

/// Notifications and the notifier's own checkpoint. In the source database:
/// dropping and baking the presentation anew must not send anything again.
#[async_trait]
pub trait Notifications: Send + Sync {
    /// How far the log has been followed. The first call of all ties the record
    /// to the log of that epoch and begins after `start`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it belongs to another log.
    async fn open(&self, epoch: &str, start: Position) -> Result<Position, StoreError>;

    /// All of the recording or nothing. A notification whose id is on record
    /// already stays as it is.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], and nothing written, when the checkpoint is not
    /// where the recording starts.
    async fn record(&self, recording: &Recording) -> Result<(), StoreError>;

    /// Takes what is due of a lane, those that have waited longest first, and
    /// counts an attempt for each. Nobody else is given them before
    /// `claim.until`: then whoever took them must have died.
    ///
    /// # Errors
    /// When the store does not answer; some may have been taken.
    async fn take(&self, lane: &str, claim: Claim) -> Result<Vec<Notification>, StoreError>;

    /// Notes what became of attempts. Those that somebody else has taken since
    /// stay as they are. Repeating is safe.
    ///
    /// # Errors
    /// When the store does not answer; some may have been noted.
    async fn settle(&self, attempts: &[Settled]) -> Result<(), StoreError>;

    /// All of an entity, by position.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn of(&self, entity_id: &str) -> Result<Vec<Notification>, StoreError>;
}

/// What following a run of frames has led to.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Where it starts: the last position followed before.
    pub from: Position,
    /// Where it ends.
    pub to: Position,
    /// What is to be sent.
    pub notifications: Vec<Notification>,
}

/// How notifications are taken.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// The time now.
    pub now: Timestamp,
    /// Until when nobody else gets them.
    pub until: Timestamp,
    /// How many at most.
    pub limit: usize,
}

/// An attempt that has ended.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The notification's.
    pub id: Uuid,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// What became of it.
    pub outcome: Attempt,
}
