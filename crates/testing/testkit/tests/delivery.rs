//! Deliveries of one channel: finished ones make room for others while slow ones run, and every
//! outcome is recorded before the claim expires.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::model::notification::{NotificationStatus, Request, RetryPolicy};
use bakehouse_engine::ports::{
    Channel, Claim, Notifications, Recording, SendError, Settled, StoreError,
};
use bakehouse_engine::stages::delivery::{self, DeliverySettings};
use bakehouse_engine::{Frame, Notification, Position, Shutdown, Timestamp, to_json};
use bakehouse_faults::ports::NotificationsHooks;
use bakehouse_faults::{Intercepted, Interceptor};
use bakehouse_memory::MemoryNotifications;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

const CHANNEL: &str = "hook";
/// Duration of a slow delivery.
const SLOW_SEND_TIME: Duration = Duration::from_secs(60);

/// Channel that is slow for the address `slow`, and counts open deliveries.
#[derive(Default)]
struct SlowChannel {
    open: AtomicUsize,
    max_open: AtomicUsize,
}

#[async_trait]
impl Channel for SlowChannel {
    fn name(&self) -> &str {
        CHANNEL
    }

    async fn send(&self, notification: &Notification) -> Result<(), SendError> {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.max_open.fetch_max(open, Ordering::Relaxed);
        match notification.to.as_str() {
            "slow" => tokio::time::sleep(SLOW_SEND_TIME).await,
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
        lane: CHANNEL.into(),
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
    const CONCURRENCY: usize = 16;
    const SLOW_COUNT: usize = 15;
    const COUNT: usize = 300;
    let notifications = MemoryNotifications::default();
    notifications.open("log", 0).await.expect("it opens");
    let all = (1..=COUNT as u64).map(|number| match number {
        1..=15 => notification(number, "slow"),
        _ => notification(number, "quick"),
    });
    let recording = Recording {
        from: 0,
        to: COUNT as u64,
        notifications: all.collect(),
    };
    notifications.record(&recording).await.expect("on record");
    let channel = Arc::new(SlowChannel::default());
    let shutdown = Shutdown::new();
    let settings = DeliverySettings {
        poll_interval: Duration::from_secs(10),
        timeout: SLOW_SEND_TIME * 2,
        concurrency: CONCURRENCY,
        retry_policy: RetryPolicy {
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(1),
            give_up_after: Duration::from_secs(600),
        },
    };
    let (_recorded, wake_signal) = watch::channel(0);
    let started = Instant::now();
    let running = tokio::spawn(delivery::run(
        channel.clone(),
        Arc::new(notifications.clone()),
        settings,
        wake_signal,
        shutdown.clone(),
    ));
    while sent(&notifications).await < COUNT - SLOW_COUNT {
        assert!(
            started.elapsed() < SLOW_SEND_TIME,
            "quick deliveries wait for slow ones"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(channel.open.load(Ordering::Relaxed), SLOW_COUNT);
    // Deliveries that run at shutdown are finished and recorded.
    shutdown.cancel();
    running.await.expect("an orderly end");
    assert_eq!(sent(&notifications).await, COUNT);
    assert_eq!(channel.max_open.load(Ordering::Relaxed), CONCURRENCY);
}

/// Channel whose receiver accepts every message, or never answers.
struct Endpoint {
    is_silent: bool,
    sent: AtomicUsize,
}

#[async_trait]
impl Channel for Endpoint {
    fn name(&self) -> &str {
        CHANNEL
    }

    async fn send(&self, _: &Notification) -> Result<(), SendError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        if self.is_silent {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// Failures to store the first outcomes, and all claims.
struct FailingOutcomes {
    failures: AtomicUsize,
    claims: Mutex<Vec<Claim>>,
}

impl Interceptor for FailingOutcomes {}

#[async_trait]
impl NotificationsHooks for FailingOutcomes {
    async fn take(
        &self,
        inner: &Arc<dyn Notifications>,
        lane: &str,
        claim: Claim,
    ) -> Result<Vec<Notification>, StoreError> {
        self.claims.lock().expect("no panic").push(claim);
        inner.take(lane, claim).await
    }

    async fn settle(
        &self,
        inner: &Arc<dyn Notifications>,
        attempts: &[Settled],
    ) -> Result<(), StoreError> {
        let decrement = |failures: usize| failures.checked_sub(1);
        let failed = self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, decrement);
        // Takes some time, so that endless attempts do not stop virtual time.
        tokio::time::sleep(Duration::from_millis(1)).await;
        match failed {
            Ok(_) => Err(StoreError::unavailable("no answer")),
            Err(_) => inner.settle(attempts).await,
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);

/// Running delivery worker with one notification.
struct Delivery {
    endpoint: Arc<Endpoint>,
    record: Arc<Intercepted<dyn Notifications, FailingOutcomes>>,
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<()>,
    /// Signals recorded notifications; kept open.
    _recorded: watch::Sender<Position>,
}

impl Delivery {
    async fn start(is_silent: bool, failures: usize) -> Self {
        let inner: Arc<dyn Notifications> = Arc::new(MemoryNotifications::default());
        inner.open("log", 0).await.expect("it opens");
        let recording = Recording {
            from: 0,
            to: 1,
            notifications: vec![notification(1, "us")],
        };
        inner.record(&recording).await.expect("on record");
        let outcomes = FailingOutcomes {
            failures: AtomicUsize::new(failures),
            claims: Mutex::default(),
        };
        let record = Intercepted::with(inner, outcomes);
        let endpoint = Arc::new(Endpoint {
            is_silent,
            sent: AtomicUsize::new(0),
        });
        let settings = DeliverySettings {
            poll_interval: Duration::from_secs(1),
            timeout: TIMEOUT,
            concurrency: 4,
            retry_policy: RetryPolicy {
                initial_backoff: Duration::from_secs(3_600),
                max_backoff: Duration::from_secs(3_600),
                give_up_after: Duration::from_secs(1_000_000),
            },
        };
        let shutdown = Shutdown::new();
        let (recorded, wake_signal) = watch::channel(0);
        let delivery = delivery::run(
            endpoint.clone(),
            record.clone(),
            settings,
            wake_signal,
            shutdown.clone(),
        );
        Self {
            endpoint,
            record,
            shutdown,
            running: tokio::spawn(delivery),
            _recorded: recorded,
        }
    }

    async fn notification(&self) -> Notification {
        let mut all = self.record.of("e").await.expect("an answer");
        all.pop().expect("one")
    }

    /// Shuts the worker down; returns the time that it took.
    async fn shut_down(self) -> Duration {
        let started = Instant::now();
        self.shutdown.cancel();
        let ended = tokio::time::timeout(TIMEOUT * 100, self.running).await;
        ended.expect("it ends").expect("in order");
        started.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_sent_notification_is_recorded_after_store_failures() {
    let delivery = Delivery::start(false, 5).await;
    tokio::time::sleep(TIMEOUT * 2).await;
    let notification = delivery.notification().await;
    assert_eq!(notification.status, NotificationStatus::Sent);
    assert_eq!(delivery.endpoint.sent.load(Ordering::Relaxed), 1);
    delivery.shut_down().await;
}

/// After the claim expires, another worker would send the notification again.
#[tokio::test(start_paused = true)]
async fn a_claim_outlasts_the_attempt_and_its_recording() {
    let delivery = Delivery::start(false, 0).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let claims = delivery
        .record
        .interceptor()
        .claims
        .lock()
        .expect("no panic")
        .clone();
    assert!(!claims.is_empty());
    for claim in claims {
        // An attempt may take one timeout, and recording its outcome three more.
        assert!(claim.until >= claim.now.after(TIMEOUT * 4), "{claim:?}");
    }
    delivery.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_endpoint_times_out() {
    let delivery = Delivery::start(true, 0).await;
    tokio::time::sleep(TIMEOUT * 2).await;
    let notification = delivery.notification().await;
    assert_eq!(
        notification.reason.as_deref(),
        Some("no answer within 10 s")
    );
    assert_eq!(notification.status, NotificationStatus::Accepted);
    delivery.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_an_unavailable_store() {
    let delivery = Delivery::start(false, usize::MAX).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let took = delivery.shut_down().await;
    assert!(took < TIMEOUT, "{took:?}");
}
