//! Subscribers of the feed. Regular ones reconnect and must not miss a frame; others do not read,
//! or disconnect abruptly.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bakehouse_e2e::Feed;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::clients::Identity;
use crate::stream::Stream;

/// Time within which a subscriber must reach the end of the feed after the run.
const FINISH_TIMEOUT: Duration = Duration::from_secs(40);

/// Filter of a subscription.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Owner of the orders; `None` for all orders.
    pub owner: Option<String>,
    /// Types of frames; empty for all types.
    pub kinds: &'static [&'static str],
    /// True for server-sent events instead of a websocket.
    pub is_stream: bool,
}

impl Filter {
    /// Creates a filter for the orders of one owner.
    #[must_use]
    pub fn of(owner: &str) -> Self {
        Self {
            owner: Some(owner.to_owned()),
            ..Self::default()
        }
    }
}

/// Frames and events that one subscriber got.
#[derive(Clone, Debug)]
pub struct SubscriberRecord {
    /// Filter of the subscription.
    pub filter: Filter,
    /// Position and hash of the text of each frame, in order of arrival.
    pub frames: Vec<(u64, u64)>,
    /// Descriptions of guarantees that were violated.
    pub violations: Vec<String>,
    /// Number of closed connections by close code; 0 counts those without one.
    pub closes: BTreeMap<u16, u64>,
}

/// Returns the hash of a text, as in [`SubscriberRecord::frames`].
#[must_use]
pub fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// All running subscribers.
pub struct Subscribers {
    tasks: JoinSet<SubscriberRecord>,
    unread: JoinSet<()>,
    stop: Arc<AtomicBool>,
    /// Position after which subscribers end; `None` during the run.
    end: tokio::sync::watch::Sender<Option<u64>>,
}

impl Subscribers {
    /// Starts one regular subscriber for each subscription, and `unread` ones that do not read or
    /// disconnect abruptly.
    #[must_use]
    pub fn start(subscriptions: Vec<(Identity, Filter)>, unread: usize, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let end = tokio::sync::watch::Sender::new(None);
        let mut subscribers = Self {
            tasks: JoinSet::new(),
            unread: JoinSet::new(),
            stop: stop.clone(),
            end,
        };
        let admin = subscriptions.first().map(|(identity, _)| identity.clone());
        for (index, (identity, filter)) in subscriptions.into_iter().enumerate() {
            let random = StdRng::seed_from_u64(seed ^ (index as u64 + 77));
            let end = subscribers.end.subscribe();
            subscribers
                .tasks
                .spawn(subscribe(identity, filter, random, end));
        }
        for index in 0..unread {
            if let Some(identity) = admin.clone() {
                let random = StdRng::seed_from_u64(seed ^ (index as u64 + 7_777));
                subscribers
                    .unread
                    .spawn(misbehave(identity, random, stop.clone()));
            }
        }
        subscribers
    }

    /// Waits until every subscriber has reached a position, or times out. Returns their records.
    pub async fn finish(mut self, head: u64) -> Vec<SubscriberRecord> {
        self.stop.store(true, Ordering::Relaxed);
        self.unread.abort_all();
        self.end.send_replace(Some(head));
        self.tasks.join_all().await
    }
}

async fn subscribe(
    identity: Identity,
    filter: Filter,
    mut random: StdRng,
    mut end: tokio::sync::watch::Receiver<Option<u64>>,
) -> SubscriberRecord {
    let mut record = SubscriberRecord {
        filter,
        frames: Vec::new(),
        violations: Vec::new(),
        closes: BTreeMap::new(),
    };
    let mut cursor = 0;
    let mut until: Option<tokio::time::Instant> = None;
    loop {
        let head = *end.borrow_and_update();
        if head.is_some_and(|head| cursor >= head) {
            return record;
        }
        if head.is_some() {
            let until = until.get_or_insert_with(|| tokio::time::Instant::now() + FINISH_TIMEOUT);
            if tokio::time::Instant::now() > *until {
                record.violations.push(format!(
                    "only at {cursor} of {head:?} at the end of the run"
                ));
                return record;
            }
        }
        let max_frames = random.random_range(20..3_000);
        let span = (max_frames, head);
        let reading = read_frames(&identity, &mut record, &mut cursor, span, &mut random);
        tokio::select! {
            () = sleep_until(until) => {}
            code = reading => {
                if let Some(code) = code {
                    *record.closes.entry(code).or_default() += 1;
                    if matches!(code, 4400 | 4401 | 4403) {
                        record.violations.push(format!("rejected with {code}"));
                        return record;
                    }
                }
            }
            _ = end.changed() => {}
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(10..200))).await;
    }
}

/// Sleeps until a time; never ends without one.
async fn sleep_until(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Connects and reads up to so many frames. Returns the close code if the server closed the
/// connection.
async fn read_frames(
    identity: &Identity,
    record: &mut SubscriberRecord,
    cursor: &mut u64,
    (max_frames, head): (usize, Option<u64>),
    random: &mut StdRng,
) -> Option<u16> {
    let base = &identity.bases[random.random_range(0..identity.bases.len())];
    let kinds = match record.filter.kinds {
        [] => String::new(),
        kinds => format!("&type={}", kinds.join(",")),
    };
    let query = format!("since={cursor}{kinds}");
    let connecting = Connection::open(base, &query, identity, record.filter.is_stream);
    let Ok(Ok(mut feed)) = tokio::time::timeout(Duration::from_secs(10), connecting).await else {
        return Some(0);
    };
    for _ in 0..max_frames {
        if head.is_some_and(|head| *cursor >= head) {
            return None;
        }
        let text = match feed.message().await {
            Ok(Ok(text)) => text,
            Ok(Err(code)) => return Some(code),
            Err(_) => return Some(0),
        };
        let frame: Value = serde_json::from_str(&text).unwrap_or_default();
        let kind = frame["type"].as_str().unwrap_or_default();
        let position = frame["position"].as_u64();
        match (kind, position) {
            ("ping", _) => feed.pong().await,
            ("position" | "live", Some(position)) => *cursor = (*cursor).max(position),
            (kind, Some(position)) if kind.contains('.') => {
                if position <= *cursor {
                    record
                        .violations
                        .push(format!("{position} arrived after {cursor}"));
                }
                record.frames.push((position, hash(&text)));
                *cursor = position;
            }
            _ => {}
        }
    }
    None
}

/// A connection to the feed: a websocket, or a stream of server-sent events.
enum Connection {
    Socket(Box<Feed>),
    Stream(Box<Stream>),
}

impl Connection {
    async fn open(
        base: &str,
        query: &str,
        identity: &Identity,
        is_stream: bool,
    ) -> anyhow::Result<Self> {
        if is_stream {
            let stream = Stream::open(base, query, &identity.authorization).await?;
            return Ok(Self::Stream(Box::new(stream)));
        }
        let token = identity.authorization.strip_prefix("Bearer ");
        let feed = Feed::open_with(base, query, token).await?;
        Ok(Self::Socket(Box::new(feed)))
    }

    /// Returns the next frame, or the close code.
    async fn message(&mut self) -> anyhow::Result<Result<String, u16>> {
        match self {
            Self::Socket(feed) => feed.message().await,
            Self::Stream(stream) => stream.message().await.map(Ok),
        }
    }

    async fn pong(&mut self) {
        if let Self::Socket(feed) = self {
            let _ = feed.say(r#"{"type":"pong"}"#).await;
        }
    }
}

/// Subscribes to the whole feed again and again, and does not read it or disconnects abruptly.
async fn misbehave(identity: Identity, mut random: StdRng, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let base = &identity.bases[random.random_range(0..identity.bases.len())];
        let token = identity.authorization.strip_prefix("Bearer ");
        let connecting = Feed::open_with(base, "since=0", token);
        let opened = tokio::time::timeout(Duration::from_secs(10), connecting).await;
        if let Ok(Ok(mut feed)) = opened {
            for _ in 0..random.random_range(0..30) {
                if feed.message().await.is_err() {
                    break;
                }
            }
            let silence = random.random_range(100..20_000);
            tokio::time::sleep(Duration::from_millis(silence)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
