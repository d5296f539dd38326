//! Readiness checks of a server with an API: all reads succeed, the feed is open, and every stage
//! that has work makes progress, in whichever process it runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// Maximum interval at which the positions of the stages are read.
const MAX_READ_INTERVAL: Duration = Duration::from_secs(5);
/// Number of those reads within `health.stall_timeout`, at least.
const READS_PER_STALL_TIMEOUT: u32 = 4;
/// Timeout of the search for the reason of a stall.
const REASON_TIMEOUT: Duration = Duration::from_secs(1);
/// Id of an entity that does not exist, for reads by entity.
const MISSING_ENTITY_ID: &str = "readiness";

/// Stages whose progress is checked.
pub(crate) struct Watched {
    /// Name of the domain, and of its feed.
    pub(crate) domain: &'static str,
    /// Accepted operations that events-writer has not appended to the log yet.
    pub(crate) backlog: Arc<dyn Backlog>,
    /// Probe of the policies on the broker's queues, if there is a broker.
    pub(crate) policies: Option<Arc<dyn Probe>>,
    /// Source of notifier's checkpoint, if notifications are configured.
    pub(crate) notifier: Option<Arc<dyn SourceInspector>>,
    /// Names of the read models of this program that consume only its own feed.
    pub(crate) read_models: Vec<&'static str>,
    /// Time after which a stage that has work and makes no progress has stalled.
    pub(crate) stall_timeout: Duration,
}

/// Returns the probes of a server with an API, those of its `stores` first, and the task that
/// monitors the stages for them until shutdown.
pub(crate) fn readiness(
    deps: &AppState,
    stores: Probes,
    watched: Watched,
    shutdown: Shutdown,
) -> (Probes, impl Future<Output = ()> + use<>) {
    let policies = watched.policies.clone();
    let monitor = Arc::new(StageMonitor {
        log: deps.log.clone(),
        progress: deps.progress.clone(),
        presentation: deps.presentation.clone(),
        read_models: deps.read_models.clone(),
        watched,
        observations: Mutex::default(),
    });
    let reads = ReadsProbe {
        stores: stores.clone(),
        log: deps.log.clone(),
        progress: deps.progress.clone(),
        presentation: deps.presentation.clone(),
        read_models: deps.read_models.clone(),
        notifications: deps.notifications.clone(),
    };
    let feed = FeedProbe {
        stores: stores.clone(),
        feed: deps.feed.clone(),
    };
    let mut probes = stores;
    probes.push(Arc::new(SingleFlight::new(reads)));
    probes.push(Arc::new(SingleFlight::new(feed)));
    probes.push(Arc::new(StagesProbe(monitor.clone())));
    probes.extend(policies);
    (probes, run(monitor, shutdown))
}

/// Checks whether a store is unavailable. Its own probe reports that, so that other probes need
/// not.
async fn is_any_unavailable(stores: &Probes) -> bool {
    let checks = stores.iter().map(|store| store.check());
    join_all(checks).await.iter().any(Result::is_err)
}

/// Probe of all kinds of reads that the API offers.
struct ReadsProbe {
    stores: Probes,
    log: Arc<dyn EventLog>,
    progress: Arc<dyn Progress>,
    presentation: Arc<dyn PresentationReader>,
    read_models: Arc<dyn RowReader>,
    notifications: Arc<dyn Notifications>,
}

impl ReadsProbe {
    async fn read(&self) -> Result<(), (&'static str, StoreError)> {
        let named = |name: &'static str| move |error| (name, error);
        let newest = self.presentation.list(&ListQuery::newest(1)).await;
        newest.map_err(named("lists"))?;
        let document = self.presentation.document(MISSING_ENTITY_ID).await;
        document.map_err(named("documents"))?;
        let head = self.presentation.head_if_any().await;
        if let Some(head) = head.map_err(named("feed"))? {
            let last = head.position.saturating_sub(1);
            let frames = self.presentation.frames(last, 1).await;
            frames.map_err(named("feed"))?;
        }
        let stored = self.log.head().await.map_err(named("log"))?;
        let events = self.log.read(stored.saturating_sub(1), 1).await;
        events.map_err(named("log"))?;
        let history = self.log.history(MISSING_ENTITY_ID, 0, Position::MAX).await;
        history.map_err(named("history"))?;
        let checkpoint = self.progress.checkpoint().await;
        checkpoint.map_err(named("receipts"))?;
        let notifications = self.notifications.of(MISSING_ENTITY_ID).await;
        notifications.map_err(named("notifications"))?;
        let states = self.read_models.states().await;
        states.map_err(named("read models"))?;
        Ok(())
    }
}

#[async_trait]
impl Probe for ReadsProbe {
    fn name(&self) -> &str {
        "reads"
    }

    async fn check(&self) -> Result<(), String> {
        match self.read().await {
            Err((name, error)) if !is_any_unavailable(&self.stores).await => {
                Err(format!("cannot read {name}: {error}"))
            }
            _ => Ok(()),
        }
    }
}

/// Probe of the feed: whether it accepts subscribers.
struct FeedProbe {
    stores: Probes,
    feed: Arc<Feed>,
}

#[async_trait]
impl Probe for FeedProbe {
    fn name(&self) -> &str {
        "feed"
    }

    async fn check(&self) -> Result<(), String> {
        if self.feed.epoch().is_some() || is_any_unavailable(&self.stores).await {
            return Ok(());
        }
        Err("not open yet: its position has not been read".into())
    }
}

/// Probe of the stages: whether each that has work makes progress.
struct StagesProbe(Arc<StageMonitor>);

#[async_trait]
impl Probe for StagesProbe {
    fn name(&self) -> &str {
        "stages"
    }

    async fn check(&self) -> Result<(), String> {
        let stalled = self.0.stalled();
        if stalled.is_empty() {
            return Ok(());
        }
        let mut reasons = Vec::new();
        for (stage, observation) in stalled {
            reasons.push(self.0.describe(&stage, observation).await);
        }
        Err(reasons.join("; "))
    }
}

/// Progress of a stage when it was last read.
#[derive(Clone, Copy)]
struct Observation {
    position: Position,
    /// Number of operations that the stage has not processed yet.
    lag: u64,
    /// Time since which the stage has work and makes no progress.
    since: Instant,
}

/// Monitor of the stages' positions.
struct StageMonitor {
    log: Arc<dyn EventLog>,
    progress: Arc<dyn Progress>,
    presentation: Arc<dyn PresentationReader>,
    read_models: Arc<dyn RowReader>,
    watched: Watched,
    observations: Mutex<BTreeMap<String, Observation>>,
}

/// Name, position and lag of each stage.
type StagePositions = Vec<(String, Position, u64)>;

impl StageMonitor {
    /// Reads the positions from the last stage to the first: in the opposite order a stage could
    /// appear to be ahead of the previous one.
    async fn read(&self) -> Result<StagePositions, StoreError> {
        let mut stages = Vec::new();
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
            let position = positions.get(self.watched.domain);
            if let Some(position) = position.filter(|_| is_ours) {
                stages.push((name, *position, baked.saturating_sub(*position)));
            }
        }
        if let Some(head) = notified {
            let lag = baked.saturating_sub(head.position);
            stages.push(("notifier".into(), head.position, lag));
        }
        let executed = self.progress.checkpoint().await?.position;
        let stored = self.log.head().await?;
        let lag = executed.saturating_sub(baked);
        stages.push(("data-baker".into(), baked, lag));
        let lag = stored.saturating_sub(executed);
        stages.push(("orders-manager".into(), executed, lag));
        // The broker's own probe reports an error of the broker.
        if let Ok(waiting) = self.watched.backlog.waiting().await {
            stages.push(("events-writer".into(), stored, waiting.operations));
        }
        Ok(stages)
    }

    fn record(&self, read: Result<StagePositions, StoreError>) {
        let now = Instant::now();
        let mut observations = self.lock();
        let Ok(stages) = read else {
            // No stage makes progress while a store is unavailable; the store's own probe reports
            // that.
            observations.clear();
            return;
        };
        let previous = std::mem::take(&mut *observations);
        for (stage, position, lag) in stages {
            let unchanged = previous
                .get(&stage)
                .filter(|previous| previous.position == position && lag > 0 && lag >= previous.lag);
            let observation = Observation {
                position,
                lag,
                since: unchanged.map_or(now, |previous| previous.since),
            };
            observations.insert(stage, observation);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Observation>> {
        let observations = self.observations.lock();
        observations.unwrap_or_else(PoisonError::into_inner)
    }

    fn stalled(&self) -> Vec<(String, Observation)> {
        let is_stalled = |stage: &Observation| {
            stage.lag > 0 && stage.since.elapsed() >= self.watched.stall_timeout
        };
        let observations = self.lock();
        let stalled = observations.iter().filter(|(_, stage)| is_stalled(stage));
        stalled
            .map(|(name, observation)| (name.clone(), *observation))
            .collect()
    }

    /// Describes a stall, with its reason.
    async fn describe(&self, stage: &str, observation: Observation) -> String {
        let Observation {
            position,
            lag,
            since,
        } = observation;
        let seconds = since.elapsed().as_secs();
        let reason = tokio::time::timeout(REASON_TIMEOUT, self.reason(stage, position)).await;
        let reason = reason.ok().flatten();
        let reason =
            reason.unwrap_or_else(|| format!("check whether {stage} is running, and its log"));
        format!(
            "{stage}: no progress for {seconds} s at position {position}, {lag} waiting: {reason}"
        )
    }

    /// Returns the reason of a stall, if this process can determine it.
    async fn reason(&self, stage: &str, position: Position) -> Option<String> {
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

/// Reads the positions of the stages periodically, until shutdown.
async fn run(monitor: Arc<StageMonitor>, shutdown: Shutdown) {
    let interval = monitor.watched.stall_timeout / READS_PER_STALL_TIMEOUT;
    let interval = interval.min(MAX_READ_INTERVAL);
    while !shutdown.is_cancelled() {
        let read = monitor.read().await;
        monitor.record(read);
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = shutdown.cancelled() => {}
        }
    }
}
