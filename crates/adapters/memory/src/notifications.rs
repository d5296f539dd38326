//! The record of notifications in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bakehouse_engine::model::notification::{Attempt, NotificationStatus};
use bakehouse_engine::ports::{Claim, Head, Notifications, Recording, Settled, StoreError};
use bakehouse_engine::{Notification, Position};

use crate::lock;

/// The record of notifications in memory; clones share it.
#[derive(Clone, Default)]
pub struct MemoryNotifications {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    followed: Option<(String, Position)>,
    notifications: Vec<Notification>,
}

impl MemoryNotifications {
    /// All of them, each with its id as text.
    pub(crate) fn all(&self) -> Vec<(String, Notification)> {
        let state = lock(&self.state);
        let all = state.notifications.iter();
        all.map(|one| (one.id.to_string(), one.clone())).collect()
    }

    /// How far the log has been followed.
    pub(crate) fn followed(&self) -> Option<Head> {
        let state = lock(&self.state);
        let followed = state.followed.clone();
        followed.map(|(epoch, position)| Head { epoch, position })
    }
}

#[async_trait]
impl Notifications for MemoryNotifications {
    async fn open(&self, epoch: &str, start: Position) -> Result<Position, StoreError> {
        let mut state = lock(&self.state);
        let begin = || (epoch.to_owned(), start);
        let (tied, position) = state.followed.get_or_insert_with(begin);
        if tied != epoch {
            let text = format!("the notifications belong to log {tied}, not {epoch}");
            return Err(StoreError::Corrupt(text));
        }
        Ok(*position)
    }

    async fn record(&self, recording: &Recording) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        match &mut state.followed {
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
        let is_due = |one: &&mut Notification| {
            one.lane == lane && one.due_at.is_some_and(|due_at| due_at <= claim.now)
        };
        let mut due: Vec<_> = state.notifications.iter_mut().filter(is_due).collect();
        due.sort_by_key(|one| (one.due_at, one.position));
        let taken = due.into_iter().take(claim.limit).map(|one| {
            one.status = NotificationStatus::Accepted;
            one.attempts += 1;
            one.accepted_at.get_or_insert(claim.now);
            one.due_at = Some(claim.until);
            one.clone()
        });
        Ok(taken.collect())
    }

    async fn settle(&self, attempts: &[Settled]) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        for settled in attempts {
            let is_it = |one: &&mut Notification| {
                one.id == settled.id && one.attempts == settled.attempt && one.due_at.is_some()
            };
            if let Some(one) = state.notifications.iter_mut().find(is_it) {
                note(one, settled.outcome.clone());
            }
        }
        Ok(())
    }

    async fn of(&self, entity_id: &str) -> Result<Vec<Notification>, StoreError> {
        let state = lock(&self.state);
        let all = state.notifications.iter();
        let mut found: Vec<_> = all
            .filter(|one| one.entity_id == entity_id)
            .cloned()
            .collect();
        found.sort_by_key(|one| (one.position, one.id));
        Ok(found)
    }
}

fn note(one: &mut Notification, outcome: Attempt) {
    match outcome {
        Attempt::Sent { at } => {
            one.status = NotificationStatus::Sent;
            one.ended_at = Some(at);
            one.due_at = None;
            one.reason = None;
        }
        Attempt::Postponed { due_at, reason } => {
            one.due_at = Some(due_at);
            one.reason = Some(reason);
        }
        Attempt::Failed { at, reason } => {
            one.status = NotificationStatus::Failed;
            one.ended_at = Some(at);
            one.due_at = None;
            one.reason = Some(reason);
        }
    }
}
