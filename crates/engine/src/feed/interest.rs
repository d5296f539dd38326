//! Registry of entities that tasks wait for: one lookup per frame finds the tasks to wake.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::Frame;

/// Registered interests by entity id; clones share the registry.
#[derive(Clone, Default)]
pub(super) struct Interests(Arc<Mutex<HashMap<String, watch::Sender<()>>>>);

/// Registered interest in one entity; dropping it removes the registration.
pub struct Interest {
    interests: Interests,
    entity_id: String,
    changes: watch::Receiver<()>,
}

impl Interests {
    fn senders(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(&self, entity_id: &str) -> Interest {
        let mut senders = self.senders();
        let sender = senders.entry(entity_id.to_owned()).or_default();
        Interest {
            interests: self.clone(),
            entity_id: entity_id.to_owned(),
            changes: sender.subscribe(),
        }
    }

    /// Returns the senders of the entities that these frames belong to.
    pub(super) fn matching(&self, frames: &[Frame]) -> Vec<watch::Sender<()>> {
        let senders = self.senders();
        if senders.is_empty() {
            return Vec::new();
        }
        let matching = frames
            .iter()
            .filter_map(|frame| senders.get(&frame.entity_id));
        matching.cloned().collect()
    }
}

impl Interest {
    /// Waits for a frame of the entity that arrived after the registration or the last call.
    pub async fn changed(&mut self) {
        // The sender lives as long as this receiver.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        let mut senders = self.interests.senders();
        // A count of 1 is this receiver itself.
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
    async fn only_frames_of_the_entity_wake_a_waiting_task() {
        let interests = Interests::default();
        let mut first = interests.register("a");
        let mut second = interests.register("a");
        for sender in interests.matching(&[frame("b")]) {
            sender.send_replace(());
        }
        let one_second = std::time::Duration::from_secs(1);
        let woken = tokio::time::timeout(one_second, first.changed()).await;
        assert!(woken.is_err(), "no frame of this entity");
        for sender in interests.matching(&[frame("b"), frame("a")]) {
            sender.send_replace(());
        }
        first.changed().await;
        second.changed().await;
        drop(first);
        assert_eq!(interests.matching(&[frame("a")]).len(), 1);
        drop(second);
        assert!(
            interests.senders().is_empty(),
            "all registrations are removed"
        );
    }
}
