//! Subscribers of the feed: those who come back and want to have missed nothing, those
//! who are slow, and those who vanish.

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

const PATIENCE: Duration = Duration::from_secs(40);

/// What somebody wants to see.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only what is theirs; none: everything.
    pub owner: Option<String>,
    /// Types of the frames to get; none: all.
    pub kinds: &'static [&'static str],
    /// True for server-sent events instead of a websocket.
    pub is_stream: bool,
}

impl Filter {
    /// Filter for all that is somebody's own.
    #[must_use]
    pub fn of(owner: &str) -> Self {
        Self {
            owner: Some(owner.to_owned()),
            ..Self::default()
        }
    }
}

/// What somebody saw.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What they asked for.
    pub filter: Filter,
    /// Position and hash of the text of each frame, in the order in which they came.
    pub frames: Vec<(u64, u64)>,
    /// What should never happen.
    pub complaints: Vec<String>,
    /// By which codes connections were closed, and how often; 0: without any.
    pub closes: BTreeMap<u16, u64>,
}

/// The hash that [`Seen::frames`] has of a frame.
#[must_use]
pub fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// All of them.
pub struct Audience {
    tasks: JoinSet<Seen>,
    rude: JoinSet<()>,
    stop: Arc<AtomicBool>,
    /// When to go: once they have seen this position.
    end: tokio::sync::watch::Sender<Option<u64>>,
}

impl Audience {
    /// Starts a watcher for each, and `rude` ones who never read or just vanish.
    #[must_use]
    pub fn start(watchers: Vec<(Identity, Filter)>, rude: usize, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let end = tokio::sync::watch::Sender::new(None);
        let mut audience = Self {
            tasks: JoinSet::new(),
            rude: JoinSet::new(),
            stop: stop.clone(),
            end,
        };
        let admin = watchers.first().map(|(identity, _)| identity.clone());
        for (index, (identity, filter)) in watchers.into_iter().enumerate() {
            let random = StdRng::seed_from_u64(seed ^ (index as u64 + 77));
            let end = audience.end.subscribe();
            audience.tasks.spawn(watch(identity, filter, random, end));
        }
        for index in 0..rude {
            if let Some(identity) = admin.clone() {
                let random = StdRng::seed_from_u64(seed ^ (index as u64 + 7_777));
                audience.rude.spawn(be_rude(identity, random, stop.clone()));
            }
        }
        audience
    }

    /// Waits until everybody has seen what there is up to a position, but not for ever:
    /// what they saw.
    pub async fn finish(mut self, head: u64) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        self.rude.abort_all();
        self.end.send_replace(Some(head));
        self.tasks.join_all().await
    }
}

async fn watch(
    identity: Identity,
    filter: Filter,
    mut random: StdRng,
    mut end: tokio::sync::watch::Receiver<Option<u64>>,
) -> Seen {
    let mut seen = Seen {
        filter,
        frames: Vec::new(),
        complaints: Vec::new(),
        closes: BTreeMap::new(),
    };
    let mut cursor = 0;
    let mut until: Option<tokio::time::Instant> = None;
    loop {
        let head = *end.borrow_and_update();
        if head.is_some_and(|head| cursor >= head) {
            return seen;
        }
        if head.is_some() {
            let until = until.get_or_insert_with(|| tokio::time::Instant::now() + PATIENCE);
            if tokio::time::Instant::now() > *until {
                seen.complaints
                    .push(format!("still at {cursor} of {head:?} when all was quiet"));
                return seen;
            }
        }
        let most = random.random_range(20..3_000);
        let span = (most, head);
        let listening = listen(&identity, &mut seen, &mut cursor, span, &mut random);
        tokio::select! {
            () = at(until) => {}
            code = listening => {
                if let Some(code) = code {
                    *seen.closes.entry(code).or_default() += 1;
                    if matches!(code, 4400 | 4401 | 4403) {
                        seen.complaints.push(format!("turned away with {code}"));
                        return seen;
                    }
                }
            }
            _ = end.changed() => {}
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(10..200))).await;
    }
}

/// Waits for ever where there is no such time.
async fn at(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Listens for a while: the code of the end, if it was not one's own.
async fn listen(
    identity: &Identity,
    seen: &mut Seen,
    cursor: &mut u64,
    (most, head): (usize, Option<u64>),
    random: &mut StdRng,
) -> Option<u16> {
    let base = &identity.bases[random.random_range(0..identity.bases.len())];
    let kinds = match seen.filter.kinds {
        [] => String::new(),
        kinds => format!("&type={}", kinds.join(",")),
    };
    let query = format!("since={cursor}{kinds}");
    let opening = Line::open(base, &query, identity, seen.filter.is_stream);
    let Ok(Ok(mut feed)) = tokio::time::timeout(Duration::from_secs(10), opening).await else {
        return Some(0);
    };
    for _ in 0..most {
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
                    seen.complaints
                        .push(format!("{position} came again, or late: was at {cursor}"));
                }
                seen.frames.push((position, hash(&text)));
                *cursor = position;
            }
            _ => {}
        }
    }
    None
}

/// A connection to the feed, of either kind.
enum Line {
    Socket(Box<Feed>),
    Stream(Box<Stream>),
}

impl Line {
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

    /// The next frame, or the end with its code.
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

/// Wants everything and reads nothing, or leaves in the middle.
async fn be_rude(identity: Identity, mut random: StdRng, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let base = &identity.bases[random.random_range(0..identity.bases.len())];
        let token = identity.authorization.strip_prefix("Bearer ");
        let opening = Feed::open_with(base, "since=0", token);
        let opened = tokio::time::timeout(Duration::from_secs(10), opening).await;
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
