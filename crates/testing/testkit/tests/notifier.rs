//! Notifications are made for changes after the first start of the notifier, and not sent for
//! changes that are too old.

mod stages;

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::model::notification::{
    Announcement, NotificationRules, NotificationStatus, Request, RetryPolicy,
};
use bakehouse_engine::ports::{EventLog, Notifications};
use bakehouse_engine::stages::notifier::{self, NotifierDeps, NotifierSettings};
use bakehouse_engine::{Frame, Notification, Timestamp, to_json};
use bakehouse_memory::MemoryNotifications;
use stages::{LEASE_TTL, POLL_INTERVAL, Stages};
use tokio::sync::watch;

const HOUR: Duration = Duration::from_secs(3_600);

/// Rules that notify of every frame, with a fixed time.
struct EveryFrame {
    at: Timestamp,
}

impl NotificationRules for EveryFrame {
    fn announce(&self, _: &Frame) -> Result<Announcement, serde_json::Error> {
        let request = Request {
            lane: "log".into(),
            channel: "log",
            to: "us".into(),
            message: to_json(&())?,
        };
        Ok(Announcement {
            at: self.at,
            requests: vec![request],
        })
    }
}

/// Runs three changes before the first start of the notifier and two after it; returns the
/// notifications.
async fn notifications_of_changes(at: Timestamp) -> Vec<Notification> {
    let stages = Stages::new();
    stages.manage();
    stages.bake(100);
    stages.add("a", 3).await;
    stages.executed().await;
    let notifications = MemoryNotifications::default();
    let deps = NotifierDeps {
        log: Arc::new(stages.log.clone()),
        source: stages.source.clone(),
        presentation: Arc::new(stages.presentation.clone()),
        notifications: Arc::new(notifications.clone()),
        leases: Arc::new(stages.leases.clone()),
        notices: stages.notices.clone(),
    };
    assert!(notifier::prepare(&deps, &stages.shutdown).await);
    stages.add("a", 2).await;
    stages.executed().await;
    let settings = NotifierSettings {
        instance: "one".into(),
        poll_interval: POLL_INTERVAL,
        max_batch: 2,
        lease_ttl: LEASE_TTL,
        retry_policy: RetryPolicy {
            initial_backoff: HOUR,
            max_backoff: HOUR,
            give_up_after: HOUR,
        },
    };
    let (recorded, mut progress) = watch::channel(0);
    tokio::spawn(notifier::run(
        deps,
        Arc::new(EveryFrame { at }),
        settings,
        recorded,
        stages.shutdown.clone(),
    ));
    let end = stages.log.head().await.expect("memory answers");
    let limit = Duration::from_secs(60);
    let reached = progress.wait_for(|position| *position == end);
    let reached = tokio::time::timeout(limit, reached).await;
    reached.expect("in time").expect("the notifier runs");
    notifications.of("a").await.expect("memory answers")
}

#[tokio::test(start_paused = true)]
async fn changes_before_the_first_start_are_not_notified() {
    let notifications = notifications_of_changes(Timestamp::now()).await;
    let positions: Vec<_> = notifications.iter().map(|one| one.position).collect();
    assert_eq!(positions, [4, 5]);
    let is_due = |one: &Notification| one.status == NotificationStatus::Requested;
    assert!(notifications.iter().all(is_due), "{notifications:?}");
}

#[tokio::test(start_paused = true)]
async fn expired_notifications_are_recorded_and_not_sent() {
    let long_ago = Timestamp::parse("2001-01-01T00:00:00Z").expect("a time");
    let notifications = notifications_of_changes(long_ago).await;
    assert_eq!(notifications.len(), 2);
    for one in notifications {
        assert_eq!(one.status, NotificationStatus::Failed);
        assert_eq!((one.attempts, one.due_at), (0, None));
        let reason = one.reason.unwrap_or_default();
        assert!(reason.contains("expired"), "{reason}");
    }
}
