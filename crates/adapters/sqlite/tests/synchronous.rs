//! Synchronous mode: all effects of a request in one transaction, on disk and in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bakehouse_engine::handlers::own_feed::OwnFeed;
use bakehouse_engine::handlers::runner::HandlerDeps;
use bakehouse_engine::handlers::{
    Effect, FeedEvent, Feeds, HandlerError, Needs, ProcessManager, ReadModel, Rows, process,
    read_model,
};
use bakehouse_engine::model::ids;
use bakehouse_engine::model::notification::Request;
use bakehouse_engine::ports::{EventLog, FeedSource, ListQuery, ScheduleError, Scheduler};
use bakehouse_engine::single_transaction::{SingleTransactionDeps, SingleTransactionEngine};
use bakehouse_engine::{EntryStatus, Shutdown, to_json};
use bakehouse_faults::{Faults, Flaky};
use bakehouse_memory::InProcessNotices;
use bakehouse_sqlite::SqliteStore;
use bakehouse_testkit::conformance::presentation::FACETS;
use bakehouse_testkit::counter::{Command, Counter, Document};
use bakehouse_testkit::operations::{operation, with_identity};
use serde::{Deserialize, Serialize};

/// Value that the read model accepts until [`IS_SPOILED`] is set.
const SPOILED: i64 = 77;
static IS_SPOILED: AtomicBool = AtomicBool::new(false);
/// Number of times that the value was rejected.
static SPOILED_COUNT: AtomicUsize = AtomicUsize::new(0);

/// Read model of the value of each counter; it fails at 13 and panics at 14.
struct Values;

#[derive(Clone, Serialize, Deserialize)]
struct Row {
    value: i64,
}

impl ReadModel for Values {
    const NAME: &'static str = "values";
    const VERSION: u32 = 1;
    const FEEDS: &'static [&'static str] = &["counter"];
    type Row = Row;

    fn needs(event: &FeedEvent) -> Needs {
        Needs::row(&event.entity_id)
    }

    fn apply(event: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), HandlerError> {
        let Some(Document { id, value, .. }) = event.document()? else {
            return Ok(());
        };
        assert_ne!(value, 14, "a handler may panic");
        if value == 13 {
            return Err(HandlerError("13 is not accepted".into()));
        }
        if value == SPOILED && IS_SPOILED.load(Ordering::Relaxed) {
            SPOILED_COUNT.fetch_add(1, Ordering::Relaxed);
            return Err(HandlerError("it was spoiled".into()));
        }
        rows.put(&id, Row { value });
        Ok(())
    }
}

/// Process that adds 1 to `echo`, and notifies, for each change of `original`.
struct Echo;

impl ProcessManager for Echo {
    const NAME: &'static str = "echo";
    const FEEDS: &'static [&'static str] = &["counter"];
    type State = Row;

    fn needs(_: &FeedEvent) -> Needs {
        Needs::row("seen")
    }

    fn react(event: &FeedEvent, state: &mut Rows<Row>) -> Result<Vec<Effect>, HandlerError> {
        if event.entity_id != "original" || !event.is_change() {
            return Ok(Vec::new());
        }
        let value = state.get("seen").map_or(0, |row| row.value) + 1;
        state.put("seen", Row { value });
        let request = Request {
            lane: "log".into(),
            channel: "log",
            to: "us".into(),
            message: to_json(&value)?,
        };
        let command = Effect::command::<Counter>("echo", &Command::Add(1))?;
        Ok(vec![command, Effect::Notify(request)])
    }
}

struct Setup {
    store: SqliteStore,
    scheduler: Arc<dyn Scheduler>,
    shutdown: Shutdown,
}

impl Drop for Setup {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn start(store: SqliteStore) -> Setup {
    let log = store.log();
    start_on(store, log)
}

/// Starts the engine with `log` for access outside of transactions.
fn start_on(store: SqliteStore, log: Arc<dyn EventLog>) -> Setup {
    let (feed, queue) = (store.clone(), store.consumer());
    let own = move || -> Arc<dyn FeedSource> {
        Arc::new(OwnFeed {
            log: feed.log(),
            progress: feed.source(),
            presentation: feed.reader(),
        })
    };
    let (engine, scheduler) = SingleTransactionEngine::<Counter>::new(SingleTransactionDeps {
        units: Arc::new(store.clone()),
        log,
        source: store.source(),
        presentation: store.presentation(),
        source_rebuilds: store.source_rebuilds(),
        presentation_rebuilds: store.presentation_rebuilds(),
        follow: HandlerDeps {
            feeds: Feeds::default().with("counter", own),
            rows: store.rows(),
            scheduler: store.scheduler(),
            log: store.log(),
            domain: "counter",
        },
        leases: store.leases(),
        notices: Arc::new(InProcessNotices::default()),
        read_models: vec![read_model::<Values>()],
        processes: vec![process::<Echo>()],
    });
    let shutdown = Shutdown::new();
    tokio::spawn(engine.run(queue, shutdown.clone()));
    Setup {
        store,
        scheduler,
        shutdown,
    }
}

fn in_memory() -> Setup {
    start(SqliteStore::in_memory(FACETS).expect("memory"))
}

async fn add(setup: &Setup, id: &str, by: i64) -> Result<(), ScheduleError> {
    setup
        .scheduler
        .schedule(&operation(id, &Command::Add(by)))
        .await
}

/// Returns the number of log entries, the counter's row in the read model, and the number of its
/// notifications.
async fn stored(setup: &Setup, id: &str) -> (u64, Option<String>, usize) {
    let events = setup.store.log().head().await.expect("a head");
    let row = setup
        .store
        .row_reader()
        .row("values", id)
        .await
        .expect("a row");
    let sent = setup
        .store
        .notifications()
        .of(id)
        .await
        .expect("notifications");
    (events, row.map(|row| row.body.get().to_owned()), sent.len())
}

/// Operations that another mode accepted are stored once and in order, even if accesses fail.
#[tokio::test(flavor = "multi_thread")]
async fn queued_operations_survive_failures() {
    for seed in 0..4 {
        let store = SqliteStore::in_memory(FACETS).expect("memory");
        let mut left = Vec::new();
        for number in 0..150 {
            let operation = operation(&number.to_string(), &Command::Add(1));
            left.push(operation.operation_id);
            let accepted = store.scheduler().schedule(&operation).await;
            accepted.expect("accepted");
        }
        let log = Flaky::new(store.log(), &Faults::new(seed, 0.2));
        let setup = start_on(store, log);
        let log = setup.store.log();
        for _ in 0..600 {
            if log.head().await.expect("a head") == 150 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let events = log.read(0, 999).await.expect("events");
        let stored = events.iter().map(|event| event.operation.operation_id);
        assert_eq!(stored.collect::<Vec<_>>(), left, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_after_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    for store in [
        SqliteStore::in_memory(FACETS).expect("memory"),
        SqliteStore::open(folder.path(), FACETS).expect("a store"),
    ] {
        let setup = start(store);
        add(&setup, "original", 2).await.expect("done");
        // The entry of the request, and the one of the command that it caused.
        let original = Some(r#"{"value":2}"#.to_owned());
        assert_eq!(stored(&setup, "original").await, (2, original, 1));
        assert_eq!(
            stored(&setup, "echo").await.1.as_deref(),
            Some(r#"{"value":1}"#)
        );
        let events = setup.store.log().read(0, 10).await.expect("events");
        assert!(
            events
                .iter()
                .all(|event| event.status == EntryStatus::Executed)
        );
        let (cause, effect) = (&events[0].operation, &events[1].operation);
        assert_eq!(effect.causation_id, Some(cause.operation_id));
        assert_eq!(effect.correlation_id, cause.correlation_id);
        assert_eq!(effect.terms.actor.as_deref(), Some("process:echo"));
        let documents = setup.store.reader().list(&ListQuery::newest(10)).await;
        assert_eq!(documents.expect("documents").len(), 2);
    }
}

/// Rolls back the log entry, document, frame and commands of the failed request, without an effect
/// on concurrent requests.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_handler_undoes_all_of_it() {
    let setup = in_memory();
    add(&setup, "original", 12).await.expect("done");
    let before = stored(&setup, "original").await;
    for fatal in [1, 2] {
        let failed = add(&setup, "original", fatal).await;
        assert!(
            matches!(failed, Err(ScheduleError::Undone(_))),
            "{failed:?}"
        );
        assert_eq!(stored(&setup, "original").await, before);
        let source = setup
            .store
            .source()
            .checkpoint()
            .await
            .expect("a checkpoint");
        assert_eq!(source.position, 2);
        assert_eq!(
            setup.store.reader().head().await.expect("a head").position,
            2
        );
    }
    let ids: Vec<String> = (0..40).map(|n| format!("c-{n}")).collect();
    let all = ids
        .iter()
        .enumerate()
        .map(|(n, id)| add(&setup, id, if n % 4 == 0 { 13 } else { 1 }));
    let outcomes = futures_util::future::join_all(all).await;
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    assert_eq!(failed, 10);
    assert_eq!(setup.store.log().head().await.expect("a head"), 32);
    add(&setup, "original", 5).await.expect("done");
    assert_eq!(
        stored(&setup, "original").await.1.as_deref(),
        Some(r#"{"value":17}"#)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_counts_once() {
    let setup = in_memory();
    let identity = ids::fresh();
    let same = with_identity(identity, "a", &Command::Add(1));
    for _ in 0..3 {
        setup.scheduler.schedule(&same).await.expect("done");
    }
    assert_eq!(
        stored(&setup, "a").await.1.as_deref(),
        Some(r#"{"value":1}"#)
    );
}

/// Operations queued by another mode are executed first, whatever their number; those that cannot
/// be executed are parked and do not block the others.
#[tokio::test(flavor = "multi_thread")]
async fn queued_operations_are_executed_first() {
    let store = SqliteStore::in_memory(FACETS).expect("memory");
    let mut poison = operation("poisoned", &Command::Add(1));
    poison.schema_version = 99;
    store
        .scheduler()
        .schedule(&poison)
        .await
        .expect("scheduled");
    for _ in 0..250 {
        let left = operation("a", &Command::Add(20));
        store.scheduler().schedule(&left).await.expect("scheduled");
    }
    let setup = start(store);
    setup
        .scheduler
        .schedule(&operation("a", &Command::Take(5_000)))
        .await
        .expect("done");
    assert_eq!(
        stored(&setup, "a").await,
        (252, Some(r#"{"value":0}"#.to_owned()), 0)
    );
    let events = setup.store.log().read(0, 1_000).await.expect("events");
    assert_eq!(events[0].status, EntryStatus::Parked);
    let executed = events
        .iter()
        .filter(|event| event.status == EntryStatus::Executed);
    assert_eq!(executed.count(), 251);
    // The same operation as a request is rolled back.
    let mut poison = operation("b", &Command::Add(1));
    poison.schema_version = 99;
    let failed = setup.scheduler.schedule(&poison).await;
    assert!(
        matches!(failed, Err(ScheduleError::Undone(_))),
        "{failed:?}"
    );
    assert_eq!(setup.store.log().head().await.expect("a head"), 252);
}

/// A failing rebuild of a read model does not block requests.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_rebuild_of_a_read_model_does_not_block_requests() {
    let store = SqliteStore::in_memory(FACETS).expect("memory");
    let setup = start(store.clone());
    add(&setup, "a", SPOILED).await.expect("done");
    let reader = store.row_reader();
    IS_SPOILED.store(true, Ordering::Relaxed);
    let wanted = reader.rebuild("values").await.expect("asked for");
    drop(setup);
    // The rebuild runs before the first request, and fails.
    let setup = start(store);
    add(&setup, "a", 10).await.expect("done");
    assert!(SPOILED_COUNT.load(Ordering::Relaxed) > 0, "it was tried");
    assert_eq!(
        stored(&setup, "a").await.1.as_deref(),
        Some(r#"{"value":87}"#)
    );
    let states = reader.states().await.expect("states");
    assert_eq!(states[0].registration.building(), wanted.as_ref());
    assert_eq!(states[0].building.get("counter").copied().unwrap_or(0), 0);
}
