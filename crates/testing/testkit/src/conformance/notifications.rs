//! Rules for records of notifications. A rule takes an empty record.

use std::sync::Arc;

use bakehouse_engine::model::notification::{Attempt, NotificationStatus, Request};
use bakehouse_engine::ports::{Claim, Notifications, Recording, Settled, StoreError};
use bakehouse_engine::{Frame, Notification, Position, Timestamp, to_json};
use serde_json::json;
use uuid::Uuid;

/// Store under test.
pub type Store = Arc<dyn Notifications>;

/// Generates the suite's tests: `notifications_suite!(name, async { … })`.
#[macro_export]
macro_rules! notifications_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            notifications,
            $make,
            [
                it_belongs_to_one_log_and_begins_where_it_was_first_opened,
                a_recording_from_elsewhere_is_fenced_and_changes_nothing,
                a_recorded_notification_does_not_change,
                a_claimed_notification_is_not_taken_before_the_claim_expires,
                channels_do_not_wait_for_one_another,
                the_longest_waiting_notification_is_taken_first,
                attempts_lead_to_sent_failed_or_another_one,
                the_outcome_of_an_expired_claim_is_ignored,
                concurrent_claims_do_not_overlap,
            ]
        );
    };
}

pub(super) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000).unwrap()
}

pub(super) fn notification(position: Position, lane: &str, to: &str) -> Notification {
    let frame = Frame {
        position,
        kind: "counter.raised".into(),
        entity_id: format!("e-{}", position % 2),
        owner: None,
        group: None,
        left_group: None,
        body: to_json(&()).unwrap(),
    };
    let message = json!({ "text": "ä \"quoted\"", "lines": [1, null, { "deep": true }] });
    let request = Request {
        lane: lane.into(),
        channel: "email",
        to: to.into(),
        message: to_json(&message).unwrap(),
    };
    let operation = Uuid::from_u128(position.into());
    Notification::requested(operation, &frame, time(-1), request, time(0))
}

pub(super) fn recording(from: Position, notifications: Vec<Notification>) -> Recording {
    Recording {
        from,
        to: from + 1,
        notifications,
    }
}

pub(super) fn claim(now: i64, until: i64, limit: usize) -> Claim {
    Claim {
        now: time(now),
        until: time(until),
        limit,
    }
}

/// Fills the store with `count` notifications that are due at once.
pub(super) async fn filled(store: &Store, count: u64) {
    store.open("log", 0).await.unwrap();
    let all = (1..=count).map(|n| notification(n, "mail", "ada"));
    store.record(&recording(0, all.collect())).await.unwrap();
}

fn settled(taken: &Notification, outcome: Attempt) -> [Settled; 1] {
    [Settled {
        id: taken.id,
        attempt: taken.attempts,
        outcome,
    }]
}

/// The first start position stays; another log's epoch is an error.
pub async fn it_belongs_to_one_log_and_begins_where_it_was_first_opened(store: Store) {
    assert_eq!(store.open("log", 7).await, Ok(7));
    assert_eq!(store.open("log", 9).await, Ok(7));
    let other = store.open("other", 9).await;
    assert!(matches!(other, Err(StoreError::Corrupt(_))), "{other:?}");
    store.record(&recording(7, Vec::new())).await.unwrap();
    assert_eq!(store.open("log", 9).await, Ok(8));
}

/// A recording from another checkpoint stores neither the checkpoint nor a notification.
pub async fn a_recording_from_elsewhere_is_fenced_and_changes_nothing(store: Store) {
    store.open("log", 0).await.unwrap();
    let elsewhere = recording(3, vec![notification(4, "mail", "ada")]);
    assert_eq!(store.record(&elsewhere).await, Err(StoreError::Fenced));
    assert_eq!(store.open("log", 0).await, Ok(0));
    assert!(store.of("e-0").await.unwrap().is_empty());
}

/// A notification that is recorded again keeps its content, byte for byte, and its status.
pub async fn a_recorded_notification_does_not_change(store: Store) {
    store.open("log", 0).await.unwrap();
    let first = notification(1, "mail", "ada");
    store
        .record(&recording(0, vec![first.clone()]))
        .await
        .unwrap();
    let taken = store.take("mail", claim(5, 60, 10)).await.unwrap();
    let sent = settled(&taken[0], Attempt::Sent { at: time(6) });
    store.settle(&sent).await.unwrap();
    let again = vec![first.clone(), notification(2, "mail", "ada")];
    store.record(&recording(1, again)).await.unwrap();
    let found = store.of("e-1").await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].status, NotificationStatus::Sent);
    assert_eq!(found[0].message.get(), first.message.get());
    assert_eq!((found[0].id, found[0].position), (first.id, 1));
    assert_eq!(found[0].kind, "counter.raised");
    assert_eq!(
        (&*found[0].lane, &*found[0].channel, &*found[0].to),
        ("mail", "email", "ada")
    );
    assert_eq!(
        (found[0].occurred_at, found[0].requested_at),
        (time(-1), time(0))
    );
    assert_eq!(
        (found[0].accepted_at, found[0].ended_at),
        (Some(time(5)), Some(time(6)))
    );
    assert_eq!(store.take("mail", claim(9, 60, 10)).await.unwrap().len(), 1);
}

/// After the claim has expired, the notification is taken for another attempt.
pub async fn a_claimed_notification_is_not_taken_before_the_claim_expires(store: Store) {
    filled(&store, 1).await;
    let first = store.take("mail", claim(1, 10, 5)).await.unwrap();
    assert_eq!(
        (first[0].status, first[0].attempts),
        (NotificationStatus::Accepted, 1)
    );
    assert!(
        store
            .take("mail", claim(9, 20, 5))
            .await
            .unwrap()
            .is_empty()
    );
    let second = store.take("mail", claim(10, 20, 5)).await.unwrap();
    assert_eq!((second[0].id, second[0].attempts), (first[0].id, 2));
    assert_eq!(second[0].accepted_at, Some(time(1)));
}

/// A channel with claimed notifications does not block another one.
pub async fn channels_do_not_wait_for_one_another(store: Store) {
    store.open("log", 0).await.unwrap();
    let both = vec![
        notification(1, "mail", "ada"),
        notification(1, "text", "ada"),
    ];
    store.record(&recording(0, both)).await.unwrap();
    assert_eq!(store.take("mail", claim(1, 60, 5)).await.unwrap().len(), 1);
    assert_eq!(store.take("text", claim(1, 60, 5)).await.unwrap().len(), 1);
    assert!(
        store
            .take("none", claim(1, 60, 5))
            .await
            .unwrap()
            .is_empty()
    );
}

/// Returns at most `limit` notifications, the longest waiting first.
pub async fn the_longest_waiting_notification_is_taken_first(store: Store) {
    filled(&store, 3).await;
    let first = store.take("mail", claim(1, 60, 1)).await.unwrap();
    let later = Attempt::Postponed {
        due_at: time(5),
        reason: "away".into(),
    };
    store.settle(&settled(&first[0], later)).await.unwrap();
    assert!(
        store
            .take("mail", claim(9, 60, 0))
            .await
            .unwrap()
            .is_empty()
    );
    let two = store.take("mail", claim(9, 60, 2)).await.unwrap();
    assert_eq!(two.len(), 2);
    assert!(two.iter().all(|one| one.id != first[0].id));
    let last = store.take("mail", claim(9, 60, 2)).await.unwrap();
    assert_eq!(
        last.iter().map(|one| one.id).collect::<Vec<_>>(),
        [first[0].id]
    );
}

/// Each outcome is stored with time and reason; ended notifications are never taken again.
pub async fn attempts_lead_to_sent_failed_or_another_one(store: Store) {
    filled(&store, 2).await;
    let taken = store.take("mail", claim(1, 60, 5)).await.unwrap();
    let away = Attempt::Postponed {
        due_at: time(3),
        reason: "away".into(),
    };
    store.settle(&settled(&taken[0], away)).await.unwrap();
    let no = Attempt::Failed {
        at: time(2),
        reason: "no such box".into(),
    };
    store.settle(&settled(&taken[1], no)).await.unwrap();
    let failed = &store.of("e-0").await.unwrap()[0];
    assert_eq!(
        (failed.status, failed.ended_at),
        (NotificationStatus::Failed, Some(time(2)))
    );
    assert_eq!(
        (failed.reason.as_deref(), failed.due_at),
        (Some("no such box"), None)
    );
    let postponed = &store.of("e-1").await.unwrap()[0];
    assert_eq!(
        (postponed.status, postponed.due_at),
        (NotificationStatus::Accepted, Some(time(3)))
    );
    assert_eq!(postponed.reason.as_deref(), Some("away"));
    let again = store.take("mail", claim(4, 60, 5)).await.unwrap();
    assert_eq!((again.len(), again[0].attempts), (1, 2));
    let sent = settled(&again[0], Attempt::Sent { at: time(5) });
    store.settle(&sent).await.unwrap();
    store.settle(&sent).await.unwrap();
    let sent = &store.of("e-1").await.unwrap()[0];
    assert_eq!(
        (sent.status, sent.ended_at),
        (NotificationStatus::Sent, Some(time(5)))
    );
    assert_eq!((&sent.reason, sent.due_at), (&None, None));
    assert!(
        store
            .take("mail", claim(1_000, 2_000, 5))
            .await
            .unwrap()
            .is_empty()
    );
}

/// The outcome of an attempt whose claim has expired and was taken over is ignored.
pub async fn the_outcome_of_an_expired_claim_is_ignored(store: Store) {
    filled(&store, 1).await;
    let slow = store.take("mail", claim(1, 10, 1)).await.unwrap();
    let quick = store.take("mail", claim(11, 60, 1)).await.unwrap();
    let no = Attempt::Failed {
        at: time(12),
        reason: "too slow".into(),
    };
    store.settle(&settled(&slow[0], no)).await.unwrap();
    assert_eq!(
        store.of("e-1").await.unwrap()[0].status,
        NotificationStatus::Accepted
    );
    let sent = Attempt::Sent { at: time(13) };
    store.settle(&settled(&quick[0], sent)).await.unwrap();
    assert_eq!(
        store.of("e-1").await.unwrap()[0].status,
        NotificationStatus::Sent
    );
}

/// Delivery workers of several processes take different notifications.
pub async fn concurrent_claims_do_not_overlap(store: Store) {
    filled(&store, 40).await;
    let takers: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.take("mail", claim(1, 60, 10)).await })
        })
        .collect();
    let mut ids = Vec::new();
    for taker in takers {
        ids.extend(taker.await.unwrap().unwrap().into_iter().map(|one| one.id));
    }
    // A worker that lost a race may have taken nothing; the next call takes the rest.
    while ids.len() < 40 {
        let more = store.take("mail", claim(1, 60, 40)).await.unwrap();
        assert!(!more.is_empty(), "{} of 40", ids.len());
        ids.extend(more.into_iter().map(|one| one.id));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 40);
}
