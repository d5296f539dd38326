//! Notifications of a restored store.

use bakehouse_engine::model::notification::{NotificationStatus, Request};
use bakehouse_engine::ports::{Claim, Recording};
use bakehouse_engine::{Frame, Notification, Timestamp, to_json};
use bakehouse_sqlite::{Pending, SqliteStore, back_up, restore};
use tempfile::TempDir;
use uuid::Uuid;

const NOW: i64 = 1_700_000_000_000;

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis).expect("in range")
}

fn notification(position: u64, occurred_at: Timestamp) -> Notification {
    let frame = Frame {
        position,
        kind: "counter.raised".into(),
        entity_id: "e".into(),
        owner: None,
        group: None,
        left_group: None,
        body: to_json(&()).expect("JSON"),
    };
    let request = Request {
        lane: "mail".into(),
        channel: "email",
        to: format!("ada-{position}"),
        message: to_json(&()).expect("JSON"),
    };
    let operation = Uuid::from_u128(position.into());
    Notification::requested(operation, &frame, occurred_at, request, occurred_at)
}

async fn record(store: &SqliteStore, notification: Notification) {
    let epoch = store.log().epoch().await.expect("an epoch");
    let from = store.notifications().open(&epoch, 0).await.expect("open");
    let recording = Recording {
        from,
        to: notification.position,
        notifications: vec![notification],
    };
    store
        .notifications()
        .record(&recording)
        .await
        .expect("kept");
}

async fn statuses(store: &SqliteStore) -> Vec<NotificationStatus> {
    let found = store.notifications().of("e").await.expect("found");
    found.iter().map(|one| one.status).collect()
}

async fn due(store: &SqliteStore) -> usize {
    let claim = Claim {
        now: Timestamp::now(),
        until: Timestamp::now(),
        limit: 10,
    };
    let taken = store.notifications().take("mail", claim).await;
    taken.expect("taken").len()
}

async fn restored(pending: Pending) -> (TempDir, SqliteStore) {
    let folder = TempDir::new().expect("a folder");
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let store = SqliteStore::open(&data, &[]).expect("it opens");
    record(&store, notification(1, time(NOW))).await;
    back_up(&data, &copy).expect("a copy").keep().expect("kept");
    let again = folder.path().join("again");
    restore(&copy, &again, pending).expect("restored");
    let store = SqliteStore::open(&again, &[]).expect("it opens");
    (folder, store)
}

/// Covers recorded notifications, and log entries from before the restore that the notifier has
/// not processed yet.
#[tokio::test]
async fn pending_notifications_are_withheld() {
    use NotificationStatus::{NotSent, Requested};
    let (_folder, store) = restored(Pending::Withhold).await;
    record(&store, notification(2, time(NOW))).await;
    assert_eq!(statuses(&store).await, [NotSent, NotSent]);
    assert_eq!(due(&store).await, 0);
    record(&store, notification(3, Timestamp::now())).await;
    assert_eq!(statuses(&store).await, [NotSent, NotSent, Requested]);
    assert_eq!(due(&store).await, 1);
}

#[tokio::test]
async fn pending_notifications_are_sent_on_request() {
    let (_folder, store) = restored(Pending::Resume).await;
    record(&store, notification(2, time(NOW))).await;
    assert_eq!(due(&store).await, 2);
}

/// Covers a restored store that is copied, and restored again with its pending notifications.
#[tokio::test]
async fn the_last_restore_counts() {
    let (folder, store) = restored(Pending::Withhold).await;
    record(&store, notification(3, Timestamp::now())).await;
    drop(store);
    let (again, copy) = (folder.path().join("again"), folder.path().join("second"));
    back_up(&again, &copy)
        .expect("a copy")
        .keep()
        .expect("kept");
    let third = folder.path().join("third");
    restore(&copy, &third, Pending::Resume).expect("restored");
    let store = SqliteStore::open(&third, &[]).expect("it opens");
    assert_eq!(due(&store).await, 1);
    record(&store, notification(4, time(NOW))).await;
    assert_eq!(due(&store).await, 1 + 1);
}
