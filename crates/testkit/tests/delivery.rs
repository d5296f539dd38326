//! Deliveries of one lane: those that end make room for others, whatever the rest waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_memory::MemoryNotifications;
use bakehouse_pipeline::courier::{self, CourierSettings};
use bakehouse_pipeline::notification::{NotificationStatus, Patience, Request};
use bakehouse_pipeline::ports::{Channel, Notifications, Recording, SendError};
use bakehouse_pipeline::{Frame, Notification, Shutdown, Timestamp, to_json};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

const LANE: &str = "hook";
/// How long the slow ones take.
const SLOW: Duration = Duration::from_secs(60);

/// A receiver that is slow where it is told so.
#[derive(Default)]
struct Receiver {
    open: AtomicUsize,
    most_open: AtomicUsize,
}

#[async_trait]
impl Channel for Receiver {
    fn lane(&self) -> &str {
        LANE
    }

    async fn send(&self, notification: &Notification) -> Result<(), SendError> {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_open.fetch_max(open, Ordering::Relaxed);
        match notification.to.as_str() {
            "slow" => tokio::time::sleep(SLOW).await,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }
}

fn notification(number: u64, to: &str) -> Notification {
    let frame = Frame {
        position: number,
        kind: "counter.raised".into(),
        entity_id: "e".into(),
        owner: None,
        group: None,
        left_group: None,
        body: to_json(&()).expect("JSON"),
    };
    let request = Request {
        lane: LANE.into(),
        channel: "webhook",
        to: to.into(),
        message: to_json(&()).expect("JSON"),
    };
    let now = Timestamp::now();
    Notification::requested(Uuid::from_u128(number.into()), &frame, now, request, now)
}

async fn sent(notifications: &MemoryNotifications) -> usize {
    let all = notifications.of("e").await.expect("an answer");
    let is_sent = |one: &&Notification| one.status == NotificationStatus::Sent;
    all.iter().filter(is_sent).count()
}

#[tokio::test(start_paused = true)]
async fn slow_deliveries_hold_up_only_themselves() {
    const AT_ONCE: usize = 16;
    const SLOW_ONES: usize = 15;
    const ALL: usize = 300;
    let notifications = MemoryNotifications::default();
    notifications.open("log", 0).await.expect("it opens");
    let all = (1..=ALL as u64).map(|number| match number {
        1..=15 => notification(number, "slow"),
        _ => notification(number, "quick"),
    });
    let recording = Recording {
        from: 0,
        to: ALL as u64,
        notifications: all.collect(),
    };
    notifications.record(&recording).await.expect("on record");
    let receiver = Arc::new(Receiver::default());
    let shutdown = Shutdown::new();
    let settings = CourierSettings {
        poll_interval: Duration::from_secs(10),
        timeout: SLOW * 2,
        at_once: AT_ONCE,
        patience: Patience {
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(1),
            give_up_after: Duration::from_secs(600),
        },
    };
    let (_recorded, news) = watch::channel(0);
    let began = Instant::now();
    let running = tokio::spawn(courier::run(
        receiver.clone(),
        Arc::new(notifications.clone()),
        settings,
        news,
        shutdown.clone(),
    ));
    while sent(&notifications).await < ALL - SLOW_ONES {
        assert!(
            began.elapsed() < SLOW,
            "the quick ones wait for the slow ones"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(receiver.open.load(Ordering::Relaxed), SLOW_ONES);
    // What has been begun at shutdown is finished, and noted.
    shutdown.cancel();
    running.await.expect("an orderly end");
    assert_eq!(sent(&notifications).await, ALL);
    assert_eq!(receiver.most_open.load(Ordering::Relaxed), AT_ONCE);
}
