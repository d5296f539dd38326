//! Entities that somebody waits for: one look-up a frame wakes whoever it concerns.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::Frame;

/// The entities that are waited for, by id; clones share them.
#[derive(Clone, Default)]
pub(super) struct Interests(Arc<Mutex<HashMap<String, watch::Sender<()>>>>);

/// A registered interest in one entity, until it is dropped.
pub struct Change {
    interests: Interests,
    entity_id: String,
    news: watch::Receiver<()>,
}

impl Interests {
    fn senders(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(&self, entity_id: &str) -> Change {
        let mut senders = self.senders();
        let sender = senders.entry(entity_id.to_owned()).or_default();
        Change {
            interests: self.clone(),
            entity_id: entity_id.to_owned(),
            news: sender.subscribe(),
        }
    }

    /// The interests that these frames concern.
    pub(super) fn concerned(&self, frames: &[Frame]) -> Vec<watch::Sender<()>> {
        let senders = self.senders();
        if senders.is_empty() {
            return Vec::new();
        }
        let concerned = frames
            .iter()
            .filter_map(|frame| senders.get(&frame.entity_id));
        concerned.cloned().collect()
    }
}

impl Change {
    /// Waits until a frame has come of the entity since the registration, or since the
    /// last call.
    pub async fn happened(&mut self) {
        // The sender stays as long as this receiver does.
        let _ = self.news.changed().await;
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        let mut senders = self.interests.senders();
        // The last one that is left is this one.
        let is_last = |sender: &watch::Sender<()>| sender.receiver_count() <= 1;
        if senders.get(&self.entity_id).is_some_and(is_last) {
            senders.remove(&self.entity_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(entity_id: &str) -> Frame {
        Frame {
            position: 1,
            kind: "order.created".into(),
            entity_id: entity_id.into(),
            owner: None,
            group: None,
            left_group: None,
            body: crate::to_json(&1).expect("a number"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_woken_by_frames_of_the_entity_alone() {
        let interests = Interests::default();
        let mut first = interests.register("a");
        let mut second = interests.register("a");
        for sender in interests.concerned(&[frame("b")]) {
            sender.send_replace(());
        }
        let second_long = std::time::Duration::from_secs(1);
        let woken = tokio::time::timeout(second_long, first.happened()).await;
        assert!(woken.is_err(), "nothing happened to it");
        for sender in interests.concerned(&[frame("b"), frame("a")]) {
            sender.send_replace(());
        }
        first.happened().await;
        second.happened().await;
        drop(first);
        assert_eq!(interests.concerned(&[frame("a")]).len(), 1);
        drop(second);
        assert!(interests.senders().is_empty(), "nobody is remembered");
    }
}
