//! Receiver of webhooks. It acknowledges most notifications, rejects some with 503, and closes the
//! connection after some without an answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use bakehouse_e2e::receiver::{Listener, Received};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use crate::clients::lock;
use crate::subscribers::hash;

/// Types of events that the receiver subscribes to.
pub const EVENT_TYPES: [&str; 3] = ["order.status", "order.deleted", "order.rejected"];
/// Secret of the signatures.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Time without a new notification after which no more are expected.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Notifications that have arrived.
#[derive(Debug, Default)]
pub struct ReceivedNotifications {
    /// Notifications by the position of their event.
    pub by_position: BTreeMap<u64, Notification>,
    /// Descriptions of guarantees that were violated.
    pub violations: Vec<String>,
}

/// A notification.
#[derive(Debug)]
pub struct Notification {
    /// Id of the notification, the same for every repetition.
    pub id: String,
    /// Type of the event.
    pub kind: String,
    /// Hash of the frame in the body.
    pub hash: u64,
    /// Number of times that it was acknowledged.
    pub acknowledged: u32,
}

/// A running receiver.
pub struct WebhookReceiver {
    listener: Listener,
    notifications: Arc<Mutex<ReceivedNotifications>>,
}

impl WebhookReceiver {
    /// Starts a receiver whose answers are random, determined by a seed.
    ///
    /// # Errors
    /// When no port is available.
    pub async fn start(seed: u64) -> Result<Self> {
        let notifications: Arc<Mutex<ReceivedNotifications>> = Arc::default();
        let (handling, random) = (
            notifications.clone(),
            Mutex::new(StdRng::seed_from_u64(seed)),
        );
        let listener = Listener::start(move |received| {
            let roll = lock(&random).random_range(0..100);
            lock(&handling).handle(&received, roll)
        });
        Ok(Self {
            listener: listener.await?,
            notifications,
        })
    }

    /// Returns the settings with which services notify the receiver.
    #[must_use]
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("BAKEHOUSE_WEBHOOK__URLS", self.listener.url.clone()),
            ("BAKEHOUSE_WEBHOOK__SECRET", SECRET.to_owned()),
            ("BAKEHOUSE_WEBHOOK__ALLOW_PRIVATE", "true".to_owned()),
            ("BAKEHOUSE_WEBHOOK__EVENTS", EVENT_TYPES.join(",")),
            ("BAKEHOUSE_NOTIFY__INITIAL_BACKOFF", "200ms".to_owned()),
            ("BAKEHOUSE_NOTIFY__MAX_BACKOFF", "1s".to_owned()),
            ("BAKEHOUSE_NOTIFY__TIMEOUT", "2s".to_owned()),
        ]
    }

    /// Waits until so many events have arrived, or none arrives any more. Returns all of them.
    pub async fn finish(self, events: usize) -> ReceivedNotifications {
        let mut last = (0, Instant::now());
        loop {
            let count = lock(&self.notifications).by_position.len();
            if count != last.0 {
                last = (count, Instant::now());
            }
            if count >= events || last.1.elapsed() > IDLE_TIMEOUT {
                return std::mem::take(&mut lock(&self.notifications));
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

#[derive(Deserialize)]
struct Payload<'a> {
    r#type: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Frame {
    position: u64,
}

impl ReceivedNotifications {
    /// Records a notification. Returns the status of the answer; 0 closes the connection.
    fn handle(&mut self, received: &Received, roll: u32) -> u16 {
        if roll < 4 {
            return 503;
        }
        if let Err(error) = self.record(received, roll >= 6) {
            self.violations.push(format!("{error:#}: {received:?}"));
        }
        if roll < 6 { 0 } else { 204 }
    }

    /// Adds a notification, or counts a repetition and compares it with the first one.
    fn record(&mut self, received: &Received, is_acknowledged: bool) -> Result<()> {
        let payload: Payload<'_> =
            serde_json::from_slice(&received.body).context("invalid body of a webhook")?;
        let frame: Frame = serde_json::from_str(payload.data.get()).context("invalid frame")?;
        let new = Notification {
            id: received.header("webhook-id").to_owned(),
            kind: payload.r#type,
            hash: hash(payload.data.get()),
            acknowledged: 0,
        };
        let known = self.by_position.entry(frame.position).or_insert(new);
        known.acknowledged += u32::from(is_acknowledged);
        if known.id != received.header("webhook-id") || known.hash != hash(payload.data.get()) {
            self.violations
                .push(format!("repetition differs: {known:?}, {received:?}"));
        }
        Ok(())
    }
}
