//! Everything at once or nothing of it, on disk and in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bakehouse_engine::handlers::handler::{process, read_model};
use bakehouse_engine::handlers::own_feed::OwnFeed;
use bakehouse_engine::handlers::runner::HandlerDeps;
use bakehouse_engine::handlers::{
    Effect, Failed, FeedEvent, Feeds, Needs, ProcessManager, ReadModel, Rows,
};
use bakehouse_engine::model::ids;
use bakehouse_engine::model::notification::Request;
use bakehouse_engine::ports::{EventLog, FeedSource, ListQuery, ScheduleError, Scheduler};
use bakehouse_engine::single_transaction::{SingleTransactionDeps, SingleTransactionEngine};
use bakehouse_engine::{EntryStatus, Shutdown, to_json};
use bakehouse_memory::InProcessNotices;
use bakehouse_sqlite::SqliteStore;
use bakehouse_testkit::conformance::presentation::FACETS;
use bakehouse_testkit::counter::{Command, Counter, Document};
use bakehouse_testkit::flaky::{Faults, Flaky};
use bakehouse_testkit::operations::{operation, with_identity};
use serde::{Deserialize, Serialize};

/// Value that the read model takes at first, and not once [`IS_SPOILED`].
const SPOILED: i64 = 77;
static IS_SPOILED: AtomicBool = AtomicBool::new(false);
/// Number of times that it was met since.
static SPOILED_COUNT: AtomicUsize = AtomicUsize::new(0);

/// values: what each counter counts to. It cannot bear 13.
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

    fn needs(fact: &FeedEvent) -> Needs {
        Needs::row(&fact.entity_id)
    }

    fn apply(fact: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), Failed> {
        let Some(Document { id, value, .. }) = fact.document()? else {
            return Ok(());
        };
        assert_ne!(value, 14, "a handler may panic");
        if value == 13 {
            return Err(Failed("13 is more than it can bear".into()));
        }
        if value == SPOILED && IS_SPOILED.load(Ordering::Relaxed) {
            SPOILED_COUNT.fetch_add(1, Ordering::Relaxed);
            return Err(Failed("it was spoiled".into()));
        }
        rows.put(&id, Row { value });
        Ok(())
    }
}

/// echo: whatever is added to `original` is added to `echo` as well, and told.
struct Echo;

impl ProcessManager for Echo {
    const NAME: &'static str = "echo";
    const FEEDS: &'static [&'static str] = &["counter"];
    type State = Row;

    fn needs(_: &FeedEvent) -> Needs {
        Needs::row("seen")
    }

    fn react(fact: &FeedEvent, state: &mut Rows<Row>) -> Result<Vec<Effect>, Failed> {
        if fact.entity_id != "original" || !fact.is_change() {
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

struct World {
    store: SqliteStore,
    scheduler: Arc<dyn Scheduler>,
    shutdown: Shutdown,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn start(store: SqliteStore) -> World {
    let log = store.log();
    start_on(store, log)
}

/// With this log for what is not in a transaction.
fn start_on(store: SqliteStore, log: Arc<dyn EventLog>) -> World {
    let (feed, queue) = (store.clone(), store.consumer());
    let own = move || -> Arc<dyn FeedSource> {
        Arc::new(OwnFeed {
            log: feed.log(),
            progress: feed.source(),
            presentation: feed.reader(),
        })
    };
    let (kitchen, scheduler) = SingleTransactionEngine::<Counter>::new(SingleTransactionDeps {
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
    tokio::spawn(kitchen.run(queue, shutdown.clone()));
    World {
        store,
        scheduler,
        shutdown,
    }
}

fn in_memory() -> World {
    start(SqliteStore::in_memory(FACETS).expect("memory"))
}

async fn add(world: &World, id: &str, by: i64) -> Result<(), ScheduleError> {
    world
        .scheduler
        .schedule(&operation(id, &Command::Add(by)))
        .await
}

/// What the store holds of it: events, value in the read model, notifications.
async fn held(world: &World, id: &str) -> (u64, Option<String>, usize) {
    let events = world.store.log().head().await.expect("a head");
    let row = world
        .store
        .row_reader()
        .row("values", id)
        .await
        .expect("a row");
    let sent = world
        .store
        .notifications()
        .of(id)
        .await
        .expect("notifications");
    (events, row.map(|row| row.body.get().to_owned()), sent.len())
}

/// What another mode has accepted is stored whatever fails meanwhile: each once, in its
/// order.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_outlasts_failures() {
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
        let world = start_on(store, log);
        let log = world.store.log();
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
        let world = start(store);
        add(&world, "original", 2).await.expect("done");
        // Its own event, and the one of the command that it led to.
        let original = Some(r#"{"value":2}"#.to_owned());
        assert_eq!(held(&world, "original").await, (2, original, 1));
        assert_eq!(
            held(&world, "echo").await.1.as_deref(),
            Some(r#"{"value":1}"#)
        );
        let events = world.store.log().read(0, 10).await.expect("events");
        assert!(
            events
                .iter()
                .all(|event| event.status == EntryStatus::Executed)
        );
        let (cause, effect) = (&events[0].operation, &events[1].operation);
        assert_eq!(effect.causation_id, Some(cause.operation_id));
        assert_eq!(effect.correlation_id, cause.correlation_id);
        assert_eq!(effect.terms.actor.as_deref(), Some("process:echo"));
        let documents = world.store.reader().list(&ListQuery::newest(10)).await;
        assert_eq!(documents.expect("documents").len(), 2);
    }
}

/// Its event, its document, its frame, what processes made of it: as if it had never
/// been asked for. And those that were asked for at the same time are none the worse.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_handler_undoes_all_of_it() {
    let world = in_memory();
    add(&world, "original", 12).await.expect("done");
    let before = held(&world, "original").await;
    for fatal in [1, 2] {
        let failed = add(&world, "original", fatal).await;
        assert!(
            matches!(failed, Err(ScheduleError::Undone(_))),
            "{failed:?}"
        );
        assert_eq!(held(&world, "original").await, before);
        let source = world
            .store
            .source()
            .checkpoint()
            .await
            .expect("a checkpoint");
        assert_eq!(source.position, 2);
        assert_eq!(
            world.store.reader().head().await.expect("a head").position,
            2
        );
    }
    let ids: Vec<String> = (0..40).map(|n| format!("c-{n}")).collect();
    let all = ids
        .iter()
        .enumerate()
        .map(|(n, id)| add(&world, id, if n % 4 == 0 { 13 } else { 1 }));
    let outcomes = futures_util::future::join_all(all).await;
    let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    assert_eq!(failed, 10);
    assert_eq!(world.store.log().head().await.expect("a head"), 32);
    add(&world, "original", 5).await.expect("done");
    assert_eq!(
        held(&world, "original").await.1.as_deref(),
        Some(r#"{"value":17}"#)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_counts_once() {
    let world = in_memory();
    let identity = ids::fresh();
    let same = with_identity(identity, "a", &Command::Add(1));
    for _ in 0..3 {
        world.scheduler.schedule(&same).await.expect("done");
    }
    assert_eq!(held(&world, "a").await.1.as_deref(), Some(r#"{"value":1}"#));
}

/// What had been accepted to be done later is done first, however much it is; what of it
/// cannot be done is set aside, and holds up nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_is_done_first() {
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
    let world = start(store);
    world
        .scheduler
        .schedule(&operation("a", &Command::Take(5_000)))
        .await
        .expect("done");
    assert_eq!(
        held(&world, "a").await,
        (252, Some(r#"{"value":0}"#.to_owned()), 0)
    );
    let events = world.store.log().read(0, 1_000).await.expect("events");
    assert_eq!(events[0].status, EntryStatus::Parked);
    let executed = events
        .iter()
        .filter(|event| event.status == EntryStatus::Executed);
    assert_eq!(executed.count(), 251);
    // Handed in now, the same is undone.
    let mut poison = operation("b", &Command::Add(1));
    poison.schema_version = 99;
    let failed = world.scheduler.schedule(&poison).await;
    assert!(
        matches!(failed, Err(ScheduleError::Undone(_))),
        "{failed:?}"
    );
    assert_eq!(world.store.log().head().await.expect("a head"), 252);
}

/// What cannot be made anew does not keep anybody from anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_that_cannot_be_made_anew_holds_up_nothing() {
    let store = SqliteStore::in_memory(FACETS).expect("memory");
    let world = start(store.clone());
    add(&world, "a", SPOILED).await.expect("done");
    let reader = store.row_reader();
    IS_SPOILED.store(true, Ordering::Relaxed);
    let wanted = reader.rebuild("values").await.expect("asked for");
    drop(world);
    // It is made anew before anything is taken, and fails.
    let world = start(store);
    add(&world, "a", 10).await.expect("done");
    assert!(SPOILED_COUNT.load(Ordering::Relaxed) > 0, "it was tried");
    assert_eq!(
        held(&world, "a").await.1.as_deref(),
        Some(r#"{"value":87}"#)
    );
    let states = reader.states().await.expect("states");
    assert_eq!(states[0].registration.building(), wanted.as_ref());
    assert_eq!(states[0].building.get("counter").copied().unwrap_or(0), 0);
}
