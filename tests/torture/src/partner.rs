//! Another program, which is told by webhooks what became of orders: it takes most of what
//! comes, asks for patience now and then, and at times takes something and does not say so.

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
use crate::watchers::hash;

/// What it wants to be told of.
pub const KINDS: [&str; 3] = ["order.status", "order.deleted", "order.rejected"];
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// After so long without anything new there will be nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it was told.
#[derive(Debug, Default)]
pub struct Heard {
    /// By the position of the event.
    pub messages: BTreeMap<u64, Message>,
    /// What should never happen.
    pub complaints: Vec<String>,
}

/// A notification.
#[derive(Debug)]
pub struct Message {
    /// Its identity, by which repetitions are known.
    pub id: String,
    /// What kind of event it tells of.
    pub kind: String,
    /// Hash of the frame in it.
    pub hash: u64,
    /// How often it was taken, and that was said.
    pub taken: u32,
}

/// The program.
pub struct Partner {
    listener: Listener,
    heard: Arc<Mutex<Heard>>,
}

impl Partner {
    /// Listens, with chance by a seed.
    ///
    /// # Errors
    /// When it has nowhere to listen.
    pub async fn start(seed: u64) -> Result<Self> {
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let (hearing, random) = (heard.clone(), Mutex::new(StdRng::seed_from_u64(seed)));
        let listener = Listener::start(move |received| {
            let dice = lock(&random).random_range(0..100);
            lock(&hearing).hear(&received, dice)
        });
        Ok(Self {
            listener: listener.await?,
            heard,
        })
    }

    /// Services that tell it.
    #[must_use]
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("BAKEHOUSE_WEBHOOK__URLS", self.listener.url.clone()),
            ("BAKEHOUSE_WEBHOOK__SECRET", SECRET.to_owned()),
            ("BAKEHOUSE_WEBHOOK__ALLOW_PRIVATE", "true".to_owned()),
            ("BAKEHOUSE_WEBHOOK__EVENTS", KINDS.join(",")),
            ("BAKEHOUSE_NOTIFY__INITIAL_BACKOFF", "200ms".to_owned()),
            ("BAKEHOUSE_NOTIFY__MAX_BACKOFF", "1s".to_owned()),
            ("BAKEHOUSE_NOTIFY__TIMEOUT", "2s".to_owned()),
        ]
    }

    /// Waits until it was told of so many events, or of none any more: what it was told.
    pub async fn finish(self, events: usize) -> Heard {
        let mut last = (0, Instant::now());
        loop {
            let count = lock(&self.heard).messages.len();
            if count != last.0 {
                last = (count, Instant::now());
            }
            if count >= events || last.1.elapsed() > PATIENCE {
                return std::mem::take(&mut lock(&self.heard));
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

impl Heard {
    /// The status to answer with.
    fn hear(&mut self, received: &Received, dice: u32) -> u16 {
        if dice < 4 {
            return 503;
        }
        if let Err(error) = self.remember(received, dice >= 6) {
            self.complaints.push(format!("{error:#}: {received:?}"));
        }
        if dice < 6 { 0 } else { 204 }
    }

    fn remember(&mut self, received: &Received, is_said: bool) -> Result<()> {
        let payload: Payload<'_> =
            serde_json::from_slice(&received.body).context("not the body of a webhook")?;
        let frame: Frame = serde_json::from_str(payload.data.get()).context("not a frame")?;
        let new = Message {
            id: received.header("webhook-id").to_owned(),
            kind: payload.r#type,
            hash: hash(payload.data.get()),
            taken: 0,
        };
        let known = self.messages.entry(frame.position).or_insert(new);
        known.taken += u32::from(is_said);
        if known.id != received.header("webhook-id") || known.hash != hash(payload.data.get()) {
            self.complaints
                .push(format!("told of one event twice: {known:?}, {received:?}"));
        }
        Ok(())
    }
}
