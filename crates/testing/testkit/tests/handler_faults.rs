//! Read models and processes over failing stores, with two instances that are paused beyond their
//! leases: every event has each of its effects once.
//!
//! Time is virtual, so waits cost nothing.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::Shutdown;
use bakehouse_engine::handlers::own_feed::OwnFeed;
use bakehouse_engine::handlers::projector::RunnerContext;
use bakehouse_engine::handlers::runner::HandlerDeps;
use bakehouse_engine::handlers::{
    Feeds, HandlerSettings, process, process_runner, projector, read_model,
};
use bakehouse_engine::ports::{
    EventLog, FeedSource, Leases, Notices, PresentationStore, RowReader, RowStore, SourceStore,
};
use bakehouse_engine::stages::baker::{self, BakerDeps, BakerSettings};
use bakehouse_engine::stages::manager::{self, ManagerDeps, ManagerSettings};
use bakehouse_faults::{Faults, Flaky};
use bakehouse_memory::{
    InProcessNotices, MemoryLeases, MemoryLog, MemoryPresentation, MemoryRows, MemorySource,
};
use bakehouse_testkit::counter::{Command, Counter};
use bakehouse_testkit::handler_runners::{Direct, Guests, Row, Tally, Thirds, tally};
use bakehouse_testkit::operations::operation;
use tokio::sync::watch;

const ORIGINALS: u64 = 60;
const ECHOES: u64 = ORIGINALS / 3;
const GUESTS: u64 = 40;

struct World {
    log: MemoryLog,
    rows: MemoryRows,
    states: MemoryRows,
    shutdown: Shutdown,
}

/// Starts the stages without faults, and two instances of each handler with faults.
async fn start(seed: u64) -> World {
    let world = World {
        log: MemoryLog::default(),
        rows: MemoryRows::default(),
        states: MemoryRows::default(),
        shutdown: Shutdown::new(),
    };
    let log: Arc<dyn EventLog> = Arc::new(world.log.clone());
    let source: Arc<dyn SourceStore> = Arc::new(MemorySource::new(world.log.clone()));
    let presentation = MemoryPresentation::default();
    let notices: Arc<dyn Notices> = Arc::new(InProcessNotices::default());
    let leases: Arc<dyn Leases> = Arc::new(MemoryLeases::default());
    let lease_ttl = Duration::from_millis(300);
    let deps = ManagerDeps {
        log: log.clone(),
        source: source.clone(),
        leases: leases.clone(),
        notices: notices.clone(),
        rebuilds: None,
    };
    let settings = ManagerSettings {
        instance: "one".into(),
        poll_interval: Duration::from_millis(20),
        max_batch: 5,
        lease_ttl,
    };
    tokio::spawn(manager::run::<Counter>(
        deps,
        settings,
        world.shutdown.clone(),
    ));
    let deps = BakerDeps {
        log: log.clone(),
        source: source.clone(),
        presentation: Arc::new(presentation.clone()) as Arc<dyn PresentationStore>,
        leases: leases.clone(),
        notices: notices.clone(),
        rebuilds: None,
    };
    let settings = BakerSettings {
        instance: "one".into(),
        poll_interval: Duration::from_millis(20),
        max_batch: 6,
        lease_ttl,
    };
    tokio::spawn(baker::run::<Counter>(
        deps,
        settings,
        world.shutdown.clone(),
    ));
    for (number, instance) in ["one", "two"].into_iter().enumerate() {
        let faults = Faults::new(2 * seed + number as u64, 0.05);
        let faults = faults.with_pauses(0.04, Duration::from_millis(900));
        let (own, guests) = (
            own_feed(&log, &source, &presentation),
            Arc::new(Guests(GUESTS)),
        );
        let own: Arc<dyn FeedSource> = Flaky::new(own, &faults);
        let guests: Arc<dyn FeedSource> = Flaky::new(guests as Arc<dyn FeedSource>, &faults);
        let flaky = |store: &MemoryRows| -> Arc<dyn RowStore> {
            Flaky::new(Arc::new(store.clone()) as Arc<dyn RowStore>, &faults)
        };
        let models = HandlerDeps {
            feeds: Feeds::default()
                .with("counter", move || own.clone())
                .with("guest", move || guests.clone()),
            rows: flaky(&world.rows),
            scheduler: Arc::new(Direct(Flaky::new(log.clone(), &faults))),
            log: log.clone(),
            domain: "counter",
        };
        let processes = HandlerDeps {
            rows: flaky(&world.states),
            ..models.clone()
        };
        if number == 0 {
            let thirds = process::<Thirds>();
            assert!(process_runner::prepare(&processes, &thirds, &world.shutdown).await);
        }
        let context = RunnerContext {
            leases: Flaky::new(leases.clone(), &faults),
            notices: notices.clone(),
            wake_signal: watch::channel(0).1,
        };
        let settings = HandlerSettings {
            instance: instance.into(),
            poll_interval: Duration::from_millis(30),
            max_batch: 7,
            lease_ttl,
        };
        tokio::spawn(projector::run(
            models,
            read_model::<Tally>(),
            context.clone(),
            settings.clone(),
            world.shutdown.clone(),
        ));
        tokio::spawn(process_runner::run(
            processes,
            process::<Thirds>(),
            context,
            settings,
            world.shutdown.clone(),
        ));
    }
    world
}

fn own_feed(
    log: &Arc<dyn EventLog>,
    source: &Arc<dyn SourceStore>,
    presentation: &MemoryPresentation,
) -> Arc<dyn FeedSource> {
    Arc::new(OwnFeed {
        log: log.clone(),
        progress: source.clone(),
        presentation: Arc::new(presentation.clone()),
    })
}

#[tokio::test(start_paused = true)]
async fn every_event_counts_once() {
    for seed in 0..60 {
        let world = start(seed).await;
        for n in 0..ORIGINALS {
            let id = format!("c-{}", n % 4);
            let one = operation(&id, &Command::Add(1));
            world.log.append(&[one]).await.expect("memory answers");
            if n == ORIGINALS / 2 {
                world.rows.rebuild("tally").await.expect("memory answers");
            }
            tokio::time::sleep(Duration::from_millis(n % 40)).await;
        }
        let expected = Row {
            counters: ORIGINALS + ECHOES,
            guests: GUESTS,
        };
        let is_done = async {
            while tally(&world.rows).await.as_ref() != Some(&expected) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let limit = Duration::from_secs(600);
        if tokio::time::timeout(limit, is_done).await.is_err() {
            let found = tally(&world.rows).await;
            let events = world.log.head().await.expect("memory answers");
            panic!("seed {seed}: {found:?} of {events} events, expected {expected:?}");
        }
        // Long enough for paused instances to resume and attempt stale commits.
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(tally(&world.rows).await, Some(expected), "seed {seed}");
        let events = world.log.read(0, 1_000).await.expect("memory answers");
        assert_eq!(events.len() as u64, ORIGINALS + ECHOES, "seed {seed}");
        let notifications = world.states.notifications();
        assert_eq!(notifications.len() as u64, 2 * ECHOES, "seed {seed}");
        world.shutdown.cancel();
    }
}
