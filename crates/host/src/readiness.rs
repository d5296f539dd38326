//! Readiness of a server that serves the API: that reads work, that the feed is open, and that
//! every stage that has work moves, wherever it runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::feed::Feed;
use bakehouse_engine::ports::{
    Backlog, EventLog, ListQuery, Notifications, PresentationReader, Probe, Progress, RowReader,
    SourceInspector, StoreError,
};
use bakehouse_engine::probe::SingleFlight;
use bakehouse_engine::stages::runner::last_error;
use bakehouse_engine::{Position, Shutdown};
use bakehouse_http::AppState;
use bakehouse_http::routes::health::Probes;
use futures_util::future::join_all;
use tokio::time::Instant;

/// Interval at which the stages' positions are read, at most.
const MAX_INTERVAL: Duration = Duration::from_secs(5);
/// Times that they are read within the bound.
const READS_WITHIN: u32 = 4;
/// Time that finding out why a stage does not move may take.
const REASON_TIMEOUT: Duration = Duration::from_secs(1);
/// Name of an entity that has no notification: asked for to see whether they can be read.
const NOBODY: &str = "readiness";

/// Stages whose progress is watched.
pub(crate) struct Watched {
    /// Name of the domain, whose own feed read models follow.
    pub(crate) domain: &'static str,
    /// Accepted operations that events-writer has yet to take.
    pub(crate) backlog: Arc<dyn Backlog>,
    /// Probe of the policies on the broker's queues, where there is a broker.
    pub(crate) policies: Option<Arc<dyn Probe>>,
    /// Notifier's checkpoint, where anybody is notified.
    pub(crate) notifier: Option<Arc<dyn SourceInspector>>,
    /// Read models of this program that follow its own feed alone.
    pub(crate) read_models: Vec<&'static str>,
    /// Time after which a stage that has work and does not move has stalled.
    pub(crate) stall_timeout: Duration,
}

/// Probes of a server that serves the API, after those of its `stores`; and what watches the
/// stages for them, to be run beside the server.
pub(crate) fn readiness(
    deps: &AppState,
    stores: Probes,
    watched: Watched,
    shutdown: Shutdown,
) -> (Probes, impl Future<Output = ()> + use<>) {
    let policies = watched.policies.clone();
    let stages = Arc::new(Stages {
        log: deps.log.clone(),
        progress: deps.progress.clone(),
        presentation: deps.presentation.clone(),
        read_models: deps.read_models.clone(),
        watched,
        seen: Mutex::default(),
    });
    let reads = Reads {
        stores: stores.clone(),
        log: deps.log.clone(),
        progress: deps.progress.clone(),
        presentation: deps.presentation.clone(),
        read_models: deps.read_models.clone(),
        notifications: deps.notifications.clone(),
    };
    let feed = FeedOpen {
        stores: stores.clone(),
        feed: deps.feed.clone(),
    };
    let mut probes = stores;
    probes.push(Arc::new(SingleFlight::new(reads)));
    probes.push(Arc::new(SingleFlight::new(feed)));
    probes.push(Arc::new(Moving(stages.clone())));
    probes.extend(policies);
    (probes, watch(stages, shutdown))
}

/// Tells whether a store is away, which its own probe tells: nothing else need be said then.
async fn is_any_away(stores: &Probes) -> bool {
    let checks = stores.iter().map(|store| store.check());
    join_all(checks).await.iter().any(Result::is_err)
}

/// True if everything that can be asked for can be read.
struct Reads {
    stores: Probes,
    log: Arc<dyn EventLog>,
    progress: Arc<dyn Progress>,
    presentation: Arc<dyn PresentationReader>,
    read_models: Arc<dyn RowReader>,
    notifications: Arc<dyn Notifications>,
}

impl Reads {
    async fn read(&self) -> Result<(), (&'static str, StoreError)> {
        let of = |what: &'static str| move |error| (what, error);
        let newest = self.presentation.list(&ListQuery::newest(1)).await;
        newest.map_err(of("lists"))?;
        let document = self.presentation.document(NOBODY).await;
        document.map_err(of("documents"))?;
        let head = self.presentation.head_if_any().await;
        if let Some(head) = head.map_err(of("feed"))? {
            let last = head.position.saturating_sub(1);
            let frames = self.presentation.frames(last, 1).await;
            frames.map_err(of("feed"))?;
        }
        let stored = self.log.head().await.map_err(of("log"))?;
        let events = self.log.read(stored.saturating_sub(1), 1).await;
        events.map_err(of("log"))?;
        let history = self.log.history(NOBODY, 0, Position::MAX).await;
        history.map_err(of("history"))?;
        let checkpoint = self.progress.checkpoint().await;
        checkpoint.map_err(of("receipts"))?;
        let told = self.notifications.of(NOBODY).await;
        told.map_err(of("notifications"))?;
        let states = self.read_models.states().await;
        states.map_err(of("read models"))?;
        Ok(())
    }
}

#[async_trait]
impl Probe for Reads {
    fn name(&self) -> &str {
        "reads"
    }

    async fn check(&self) -> Result<(), String> {
        match self.read().await {
            Err((what, error)) if !is_any_away(&self.stores).await => {
                Err(format!("{what} cannot be read: {error}"))
            }
            _ => Ok(()),
        }
    }
}

/// True if subscribers are taken.
struct FeedOpen {
    stores: Probes,
    feed: Arc<Feed>,
}

#[async_trait]
impl Probe for FeedOpen {
    fn name(&self) -> &str {
        "feed"
    }

    async fn check(&self) -> Result<(), String> {
        if self.feed.epoch().is_some() || is_any_away(&self.stores).await {
            return Ok(());
        }
        Err("it is not open yet: where it stands has not been read".into())
    }
}

/// True if every stage that has work moves.
struct Moving(Arc<Stages>);

#[async_trait]
impl Probe for Moving {
    fn name(&self) -> &str {
        "stages"
    }

    async fn check(&self) -> Result<(), String> {
        let stalled = self.0.stalled();
        if stalled.is_empty() {
            return Ok(());
        }
        let mut reasons = Vec::new();
        for (stage, seen) in stalled {
            reasons.push(self.0.reason(&stage, seen).await);
        }
        Err(reasons.join("; "))
    }
}

/// How a stage was last seen.
#[derive(Clone, Copy)]
struct Seen {
    position: Position,
    /// Work that it has yet to do.
    behind: u64,
    /// When it moved, or had no work.
    since: Instant,
}

struct Stages {
    log: Arc<dyn EventLog>,
    progress: Arc<dyn Progress>,
    presentation: Arc<dyn PresentationReader>,
    read_models: Arc<dyn RowReader>,
    watched: Watched,
    seen: Mutex<BTreeMap<String, Seen>>,
}

/// Standing of each stage: its position, and how much it has yet to do.
type Stands = Vec<(String, Position, u64)>;

impl Stages {
    /// Reads from the last stage to the first, so that none seems to be ahead of another.
    async fn read(&self) -> Result<Stands, StoreError> {
        let mut stands = Vec::new();
        let states = self.read_models.states().await?;
        let notified = match &self.watched.notifier {
            Some(notifier) => notifier.notified().await?,
            None => None,
        };
        let baked = self.presentation.head_if_any().await?;
        let baked = baked.map_or(0, |head| head.position);
        for state in states {
            let name = state.registration.wanted.name.clone();
            let is_ours = self.watched.read_models.iter().any(|ours| *ours == name);
            let positions = match state.registration.building() {
                Some(_) => state.building,
                None => state.served,
            };
            let followed = positions.get(self.watched.domain);
            if let Some(followed) = followed.filter(|_| is_ours) {
                stands.push((name, *followed, baked.saturating_sub(*followed)));
            }
        }
        if let Some(head) = notified {
            let behind = baked.saturating_sub(head.position);
            stands.push(("notifier".into(), head.position, behind));
        }
        let executed = self.progress.checkpoint().await?.position;
        let stored = self.log.head().await?;
        let behind = executed.saturating_sub(baked);
        stands.push(("data-baker".into(), baked, behind));
        let behind = stored.saturating_sub(executed);
        stands.push(("orders-manager".into(), executed, behind));
        // Where the broker does not answer, its own probe says so.
        if let Ok(waiting) = self.watched.backlog.waiting().await {
            stands.push(("events-writer".into(), stored, waiting.operations));
        }
        Ok(stands)
    }

    fn note(&self, found: Result<Stands, StoreError>) {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(stands) = found else {
            // No stage can move while its store is away, which that store's probe says.
            seen.clear();
            return;
        };
        let before = std::mem::take(&mut *seen);
        for (stage, position, behind) in stands {
            let stood = before.get(&stage).filter(|before| {
                before.position == position && behind > 0 && behind >= before.behind
            });
            let since = stood.map_or(now, |before| before.since);
            let now = Seen {
                position,
                behind,
                since,
            };
            seen.insert(stage, now);
        }
    }

    fn stalled(&self) -> Vec<(String, Seen)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_stalled =
            |seen: &Seen| seen.behind > 0 && seen.since.elapsed() >= self.watched.stall_timeout;
        let stalled = seen.iter().filter(|(_, seen)| is_stalled(seen));
        stalled
            .map(|(stage, seen)| (stage.clone(), *seen))
            .collect()
    }

    async fn reason(&self, stage: &str, seen: Seen) -> String {
        let Seen {
            position,
            behind,
            since,
        } = seen;
        let seconds = since.elapsed().as_secs();
        let why = tokio::time::timeout(REASON_TIMEOUT, self.why(stage, position)).await;
        let why = why.ok().flatten();
        let why = why.unwrap_or_else(|| format!("is {stage} running? Its log says more"));
        format!(
            "{stage} stands at position {position} and has not moved for {seconds} s, with \
             {behind} waiting: {why}"
        )
    }

    /// Reason of a stall, as far as it can be told from here.
    async fn why(&self, stage: &str, position: Position) -> Option<String> {
        if let Some(error) = last_error(stage) {
            return Some(error);
        }
        if stage == "data-baker"
            && let (Ok(head), Ok(epoch)) = (self.presentation.head().await, self.log.epoch().await)
            && head.epoch != epoch
        {
            return Some("the presentation belongs to another log".into());
        }
        if stage == "events-writer" {
            return None;
        }
        let next = self.log.read(position, 1).await;
        next.err().map(|error| error.to_string())
    }
}

async fn watch(stages: Arc<Stages>, shutdown: Shutdown) {
    let interval = (stages.watched.stall_timeout / READS_WITHIN).min(MAX_INTERVAL);
    while !shutdown.is_cancelled() {
        let found = stages.read().await;
        stages.note(found);
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = shutdown.cancelled() => {}
        }
    }
}
