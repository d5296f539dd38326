//! Runs of handlers: start positions, the order of feeds after a failure, progress before a failing
//! event, and the handover to a newer program.

mod stages;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::handlers::projector::{self, RunnerContext};
use bakehouse_engine::handlers::runner::HandlerDeps;
use bakehouse_engine::handlers::{
    Effect, FeedEvent, Feeds, Generation, HandlerError, HandlerSettings, Needs, ProcessManager,
    ReadModel, Rows, process, process_runner, read_model,
};
use bakehouse_engine::ports::{
    Feed, FeedSource, HandlerCommit, Head, Leases, RowStore, ScheduleError, Scheduler, StoreError,
};
use bakehouse_engine::{Frame, Operation, Position};
use bakehouse_faults::ports::RowStoreHooks;
use bakehouse_faults::{Intercepted, Interceptor};
use bakehouse_memory::{MemoryLog, MemoryRows};
use bakehouse_testkit::counter::{Command, Counter};
use bakehouse_testkit::handler_runners::{Direct, Guests, Row, Tally, Thirds};
use stages::{LEASE_TTL, POLL_INTERVAL, Stages};
use tokio::sync::watch;

fn settings() -> HandlerSettings {
    HandlerSettings {
        instance: "one".into(),
        poll_interval: POLL_INTERVAL,
        max_batch: 7,
        lease_ttl: LEASE_TTL,
    }
}

fn context(stages: &Stages) -> RunnerContext {
    RunnerContext {
        leases: Arc::new(stages.leases.clone()),
        notices: stages.notices.clone(),
        wake_signal: watch::channel(0).1,
    }
}

/// Returns the row of a generation by key; a default row if there is none.
async fn row(rows: &MemoryRows, generation: &Generation, key: &str) -> Row {
    let loaded = rows.load(generation, &Needs::row(key)).await;
    let loaded = loaded.expect("memory answers").rows;
    let row = loaded.first().map(|row| row.body.get());
    row.map_or_else(Row::default, |row| {
        serde_json::from_str(row).expect("a row")
    })
}

fn generation(name: &str, version: u32) -> Generation {
    Generation {
        name: name.into(),
        version,
        round: 0,
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_starts_at_the_current_position() {
    let stages = Stages::new();
    stages.manage();
    stages.bake(100);
    stages.add("a", 5).await;
    stages.executed().await;
    stages.baked().await;
    let rows = MemoryRows::default();
    let own = stages.feed();
    let deps = HandlerDeps {
        feeds: Feeds::default()
            .with("counter", move || own.clone())
            .with("guest", || Arc::new(Guests(0))),
        rows: Arc::new(rows.clone()),
        scheduler: Arc::new(Direct(Arc::new(stages.log.clone()))),
        log: Arc::new(stages.log.clone()),
        domain: "counter",
    };
    let thirds = process::<Thirds>();
    assert!(process_runner::prepare(&deps, &thirds, &stages.shutdown).await);
    tokio::spawn(process_runner::run(
        deps,
        thirds,
        context(&stages),
        settings(),
        stages.shutdown.clone(),
    ));
    stages.add("a", 2).await;
    stages.executed().await;
    stages.baked().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let seen = row(&rows, &generation("process-thirds", 0), "seen").await;
    assert_eq!(seen.counters, 2);
    assert_eq!(rows.notifications().len(), 0);
}

/// Feed of another service with a growing number of events.
#[derive(Clone)]
struct Growing(Arc<AtomicU64>);

#[async_trait]
impl FeedSource for Growing {
    async fn head(&self) -> Result<Head, StoreError> {
        Guests(0).head().await
    }

    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError> {
        let count = self.0.load(Ordering::Relaxed);
        Guests(count).frames(after, limit).await
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// Feed of the same events under the name `arrival`.
struct Arrivals(Growing);

#[async_trait]
impl FeedSource for Arrivals {
    async fn head(&self) -> Result<Head, StoreError> {
        self.0.head().await
    }

    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError> {
        let mut frames = self.0.frames(after, limit).await?;
        for frame in &mut frames {
            frame.kind = "arrival.came".into();
        }
        Ok(frames)
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// Process `welcome`: issues a command with the number of arrivals so far for every guest.
struct Welcome;

impl ProcessManager for Welcome {
    const NAME: &'static str = "welcome";
    const FEEDS: &'static [&'static str] = &["arrival", "guest"];
    type State = Row;

    fn needs(_: &FeedEvent) -> Needs {
        Needs::row("seen")
    }

    fn react(event: &FeedEvent, state: &mut Rows<Row>) -> Result<Vec<Effect>, HandlerError> {
        let mut seen = state.get_or_default("seen");
        if event.feed == "arrival" {
            seen.counters += 1;
            state.put("seen", seen);
            return Ok(Vec::new());
        }
        let number = i64::try_from(seen.counters)?;
        seen.guests += 1;
        state.put("seen", seen);
        let welcome = Effect::command::<Counter>("welcome", &Command::Add(number))?;
        Ok(vec![welcome])
    }
}

/// Failures of the first commits of rows; each failure adds an arrival.
struct FailingCommits {
    failures: AtomicUsize,
    arrivals: Arc<AtomicU64>,
}

impl Interceptor for FailingCommits {}

#[async_trait]
impl RowStoreHooks for FailingCommits {
    async fn commit(
        &self,
        inner: &Arc<dyn RowStore>,
        commit: &HandlerCommit,
    ) -> Result<(), StoreError> {
        let decrement = |failures: usize| failures.checked_sub(1);
        let failed = self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, decrement);
        if failed.is_err() {
            return inner.commit(commit).await;
        }
        self.arrivals.fetch_add(1, Ordering::Relaxed);
        Err(StoreError::unavailable("not now"))
    }
}

/// Scheduler that records the issued commands.
#[derive(Clone, Default)]
struct Issued(Arc<Mutex<Vec<Operation>>>);

#[async_trait]
impl Scheduler for Issued {
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError> {
        self.0.lock().expect("no panic").push(operation.clone());
        Ok(())
    }
}

/// Feed of one event that is not available right after the position was reset, as while a
/// connection is established again.
#[derive(Default)]
struct Reconnecting(Mutex<Option<Position>>);

#[async_trait]
impl FeedSource for Reconnecting {
    async fn head(&self) -> Result<Head, StoreError> {
        Guests(1).head().await
    }

    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError> {
        let is_connected = self.0.lock().expect("no panic").replace(after) == Some(after);
        if !is_connected {
            return Ok(Vec::new());
        }
        let frames = Guests(1).frames(after, limit).await?;
        let last = frames.last().map_or(after, |frame| frame.position);
        *self.0.lock().expect("no panic") = Some(last);
        Ok(frames)
    }

    fn is_live(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_with_issued_commands_is_finished_first() {
    finished_first(|| Arc::new(Guests(1))).await;
}

#[tokio::test(start_paused = true)]
async fn a_reconnecting_feed_with_issued_commands_is_waited_for() {
    finished_first(|| Arc::new(Reconnecting::default())).await;
}

/// The feed whose commands were issued before the commit failed is handled first, after any number
/// of failures: with other rows the same identities would get other commands.
async fn finished_first(guests: fn() -> Arc<dyn FeedSource>) {
    for failures in [1, 2, 5] {
        let stages = Stages::new();
        let arrivals = Growing(Arc::default());
        let rows = MemoryRows::default();
        let failing = FailingCommits {
            failures: AtomicUsize::new(failures),
            arrivals: arrivals.0.clone(),
        };
        let inner: Arc<dyn RowStore> = Arc::new(rows.clone());
        let issued = Issued::default();
        let deps = HandlerDeps {
            feeds: Feeds::default()
                .with("arrival", move || Arc::new(Arrivals(arrivals.clone())))
                .with("guest", guests),
            rows: Intercepted::with(inner, failing),
            scheduler: Arc::new(issued.clone()),
            log: Arc::new(MemoryLog::default()),
            domain: "other",
        };
        tokio::spawn(process_runner::run(
            deps,
            process::<Welcome>(),
            context(&stages),
            settings(),
            stages.shutdown.clone(),
        ));
        tokio::time::sleep(Duration::from_secs(60)).await;
        let issued = issued.0.lock().expect("no panic").clone();
        assert_eq!(issued.len(), failures + 1);
        for command in &issued {
            assert_eq!(command.operation_id, issued[0].operation_id);
            assert_eq!(command.payload.get(), issued[0].payload.get());
        }
        let seen = row(&rows, &generation("process-welcome", 0), "seen").await;
        assert_eq!((seen.counters, seen.guests), (failures as u64, 1));
    }
}

/// Read model `picky`: counts guests and fails at the third one.
struct Picky;

impl ReadModel for Picky {
    const NAME: &'static str = "picky";
    const VERSION: u32 = 1;
    const FEEDS: &'static [&'static str] = &["guest"];
    type Row = Row;

    fn needs(_: &FeedEvent) -> Needs {
        Needs::row("all")
    }

    fn apply(event: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), HandlerError> {
        if event.position == 3 {
            return Err(HandlerError("a third guest".into()));
        }
        let mut row = rows.get_or_default("all");
        row.guests += 1;
        rows.put("all", row);
        Ok(())
    }
}

/// Starts a read model of guests with rows in memory.
fn project<M: ReadModel>(stages: &Stages, rows: &MemoryRows) {
    let own = stages.feed();
    let deps = HandlerDeps {
        feeds: Feeds::default()
            .with("counter", move || own.clone())
            .with("guest", || Arc::new(Guests(5))),
        rows: Arc::new(rows.clone()),
        scheduler: Arc::new(Issued::default()),
        log: Arc::new(stages.log.clone()),
        domain: "counter",
    };
    tokio::spawn(projector::run(
        deps,
        read_model::<M>(),
        context(stages),
        settings(),
        stages.shutdown.clone(),
    ));
}

#[tokio::test(start_paused = true)]
async fn events_before_a_failing_one_are_committed() {
    let stages = Stages::new();
    let rows = MemoryRows::default();
    project::<Picky>(&stages, &rows);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let picky = generation("picky", 1);
    assert_eq!(row(&rows, &picky, "all").await.guests, 2);
    let feed = Feed {
        name: "guest",
        epoch: "elsewhere",
    };
    let position = rows.open(&picky, &feed, 0).await;
    assert_eq!(position, Ok(2));
}

/// Checks whether another instance can acquire the lease of the read model.
async fn is_lease_free(stages: &Stages) -> bool {
    let name = format!("read-model/{}", Tally::NAME);
    let lease = stages.leases.acquire(&name, "another", LEASE_TTL).await;
    lease.expect("memory answers").is_some()
}

#[tokio::test(start_paused = true)]
async fn a_read_model_is_left_to_a_newer_program() {
    for (newer, is_released) in [(0, false), (1, true)] {
        let stages = Stages::new();
        let rows = MemoryRows::default();
        let registered = rows.register(Tally::NAME, Tally::VERSION + newer).await;
        registered.expect("memory answers");
        project::<Tally>(&stages, &rows);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(
            is_lease_free(&stages).await,
            is_released,
            "newer by {newer}"
        );
    }
}
