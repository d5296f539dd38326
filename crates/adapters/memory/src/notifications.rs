//! Notifications in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bakehouse_engine::model::notification::{Attempt, NotificationStatus};
use bakehouse_engine::ports::{Claim, Head, Notifications, Recording, Settled, StoreError};
use bakehouse_engine::{Notification, Position};

use crate::lock;

/// Notifications in memory; clones share them.
#[derive(Clone, Default)]
pub struct MemoryNotifications {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Epoch and position of the processed log.
    head: Option<(String, Position)>,
    notifications: Vec<Notification>,
}

impl MemoryNotifications {
    /// Returns all notifications, each with its id as text.
    pub(crate) fn all(&self) -> Vec<(String, Notification)> {
        let state = lock(&self.state);
        let all = state.notifications.iter();
        all.map(|notification| (notification.id.to_string(), notification.clone()))
            .collect()
    }

    /// Returns the epoch of the log and the position up to which it was processed.
    pub(crate) fn head(&self) -> Option<Head> {
        let state = lock(&self.state);
        let head = state.head.clone();
        head.map(|(epoch, position)| Head { epoch, position })
    }
}

#[async_trait]
impl Notifications for MemoryNotifications {
    async fn open(&self, epoch: &str, start: Position) -> Result<Position, StoreError> {
        let mut state = lock(&self.state);
        let initial = || (epoch.to_owned(), start);
        let (bound, position) = state.head.get_or_insert_with(initial);
        if bound != epoch {
            let text = format!("the notifications belong to log {bound}, not {epoch}");
            return Err(StoreError::Corrupt(text));
        }
        Ok(*position)
    }

    async fn record(&self, recording: &Recording) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        match &mut state.head {
            Some((_, position)) if *position == recording.from => *position = recording.to,
            _ => return Err(StoreError::Fenced),
        }
        for new in &recording.notifications {
            if state.notifications.iter().all(|known| known.id != new.id) {
                state.notifications.push(new.clone());
            }
        }
        Ok(())
    }

    async fn take(&self, lane: &str, claim: Claim) -> Result<Vec<Notification>, StoreError> {
        let mut state = lock(&self.state);
        let is_due = |notification: &&mut Notification| {
            notification.lane == lane
                && notification
                    .due_at
                    .is_some_and(|due_at| due_at <= claim.now)
        };
        let mut due: Vec<_> = state.notifications.iter_mut().filter(is_due).collect();
        due.sort_by_key(|notification| (notification.due_at, notification.position));
        let taken = due.into_iter().take(claim.limit).map(|notification| {
            notification.status = NotificationStatus::Accepted;
            notification.attempts += 1;
            notification.accepted_at.get_or_insert(claim.now);
            notification.due_at = Some(claim.until);
            notification.clone()
        });
        Ok(taken.collect())
    }

    async fn settle(&self, attempts: &[Settled]) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        for settled in attempts {
            let is_attempt = |notification: &&mut Notification| {
                notification.id == settled.id
                    && notification.attempts == settled.attempt
                    && notification.due_at.is_some()
            };
            if let Some(notification) = state.notifications.iter_mut().find(is_attempt) {
                apply_outcome(notification, settled.outcome.clone());
            }
        }
        Ok(())
    }

    async fn of(&self, entity_id: &str) -> Result<Vec<Notification>, StoreError> {
        let state = lock(&self.state);
        let all = state.notifications.iter();
        let mut found: Vec<_> = all
            .filter(|notification| notification.entity_id == entity_id)
            .cloned()
            .collect();
        found.sort_by_key(|notification| (notification.position, notification.id));
        Ok(found)
    }
}

fn apply_outcome(notification: &mut Notification, outcome: Attempt) {
    match outcome {
        Attempt::Sent { at } => {
            notification.status = NotificationStatus::Sent;
            notification.ended_at = Some(at);
            notification.due_at = None;
            notification.reason = None;
        }
        Attempt::Postponed { due_at, reason } => {
            notification.due_at = Some(due_at);
            notification.reason = Some(reason);
        }
        Attempt::Failed { at, reason } => {
            notification.status = NotificationStatus::Failed;
            notification.ended_at = Some(at);
            notification.due_at = None;
            notification.reason = Some(reason);
        }
    }
}
