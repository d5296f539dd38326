//! Limit on refused changes: a principal that keeps sending changes of an entity that are refused
//! gets 429. Refusals are counted from the feed, so that accepted changes never count.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bakehouse_engine::feed::{Feed, FeedItem};
use bakehouse_engine::model::frame;
use bakehouse_engine::model::ids;
use bakehouse_engine::{Frame, Shutdown, Terms};
use serde::Deserialize;
use uuid::Uuid;

use super::LeakyBuckets;
use crate::api_definition::ApiDefinition;
use crate::response::problem::Problem;

/// Maximum number of accepted changes that are remembered; the oldest are evicted first.
const MAX_PENDING: usize = 10_000;
/// Period for which the setting limits the number of refused changes.
const PERIOD: Duration = Duration::from_secs(60);
/// Interval between attempts to subscribe to the feed while it is unavailable.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Returns a key of fixed length for the sender and the entity of a change.
fn key(terms: &Terms, entity_id: &str) -> Uuid {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (actor, owner) = (text(&terms.actor), text(&terms.owner));
    let on_behalf_of = text(&terms.on_behalf_of);
    ids::derived(&["refused-change", &actor, &on_behalf_of, &owner, entity_id])
}

/// Changes accepted by this process, the oldest first, with the keys of their counts.
#[derive(Default)]
struct Pending {
    order: VecDeque<Uuid>,
    keys: HashMap<Uuid, Uuid>,
}

/// Counts of refused changes that were accepted by this process.
pub(crate) struct Refusals {
    /// Counts by key; `None` if refusals are not limited.
    counts: Option<LeakyBuckets<Uuid>>,
    pending: Mutex<Pending>,
}

impl Refusals {
    pub(super) fn new(max_per_minute: u32) -> Self {
        let counts = (max_per_minute > 0).then(|| LeakyBuckets::new(max_per_minute, PERIOD));
        Self {
            counts,
            pending: Mutex::default(),
        }
    }

    /// Checks that not too many changes of this sender and entity have been refused.
    ///
    /// # Errors
    /// 429 if the limit is reached.
    pub(crate) fn check(&self, terms: &Terms, entity_id: &str) -> Result<(), Problem> {
        let counts = self.counts.as_ref();
        let wait = counts.and_then(|counts| counts.wait_of(&key(terms, entity_id)));
        wait.map_or(Ok(()), |seconds| {
            Err(Problem::too_many_rejected_changes(seconds))
        })
    }

    /// Remembers a change that was accepted.
    pub(crate) fn accepted(&self, operation_id: Uuid, terms: &Terms, entity_id: &str) {
        if self.counts.is_none() {
            return;
        }
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let Pending { order, keys } = &mut *pending;
        if keys.insert(operation_id, key(terms, entity_id)).is_none() {
            order.push_back(operation_id);
        }
        while order.len() > MAX_PENDING {
            order.pop_front().map(|oldest| keys.remove(&oldest));
        }
    }

    /// Counts a refusal if the change was accepted by this process.
    fn refused(&self, frame: &Frame) {
        #[derive(Deserialize)]
        struct Body {
            operation_id: Uuid,
        }
        let Ok(body) = serde_json::from_str::<Body>(frame.body.get()) else {
            return;
        };
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let key = pending.keys.remove(&body.operation_id);
        drop(pending);
        if let (Some(counts), Some(key)) = (&self.counts, key) {
            counts.add(key);
        }
    }

    /// Counts refusals from the feed until shutdown.
    pub(super) async fn run(&self, feed: &Arc<Feed>, api: &ApiDefinition, shutdown: &Shutdown) {
        if self.counts.is_none() {
            return;
        }
        let rejected = frame::kind(api.entity, frame::REJECTED);
        while !shutdown.is_cancelled() {
            // A subscription that falls behind is restarted; frames in between are not counted.
            if let Ok(mut subscription) = feed.subscribe(None, None) {
                loop {
                    let item = tokio::select! {
                        item = subscription.next() => item,
                        () = shutdown.cancelled() => return,
                    };
                    let Ok(item) = item else { break };
                    if let FeedItem::Frames(frames) = item {
                        let refused = frames.iter().filter(|frame| frame.kind == rejected);
                        refused.for_each(|frame| self.refused(frame));
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bakehouse_engine::to_json;

    use super::*;

    fn frame(operation_id: Uuid) -> Frame {
        Frame {
            position: 1,
            kind: "order.rejected".into(),
            entity_id: "o".into(),
            owner: None,
            group: None,
            left_group: None,
            body: to_json(&serde_json::json!({ "operation_id": operation_id })).expect("JSON"),
        }
    }

    #[test]
    fn only_refused_changes_count_and_only_for_their_sender_and_entity() {
        let refusals = Refusals::new(2);
        let terms = |actor: &str| Terms {
            actor: Some(actor.into()),
            ..Terms::default()
        };
        let accept = |actor, entity_id| {
            let id = ids::fresh();
            refusals.accepted(id, &terms(actor), entity_id);
            id
        };
        for _ in 0..9 {
            accept("ada", "o");
            assert!(refusals.check(&terms("ada"), "o").is_ok());
        }
        for _ in 0..2 {
            refusals.refused(&frame(accept("ada", "o")));
        }
        let refused = refusals.check(&terms("ada"), "o").expect_err("enough");
        assert!(refused.to_string().starts_with("429"), "{refused}");
        assert!(refusals.check(&terms("ada"), "p").is_ok());
        assert!(refusals.check(&terms("bob"), "o").is_ok());
        // A change accepted by another process is counted there.
        refusals.refused(&frame(ids::fresh()));
    }

    #[test]
    fn pending_changes_are_bounded() {
        let refusals = Refusals::new(1);
        for _ in 0..2 * MAX_PENDING {
            refusals.accepted(ids::fresh(), &Terms::default(), "o");
        }
        let pending = refusals.pending.lock().expect("not poisoned");
        assert_eq!(pending.order.len(), MAX_PENDING);
        assert_eq!(pending.keys.len(), MAX_PENDING);
    }
}
