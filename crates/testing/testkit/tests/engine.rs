//! The whole engine over failing stores: nothing is lost, duplicated or reordered.
//!
//! Time is virtual, so waits cost nothing.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::feed::{Feed, FeedItem, FeedSettings};
use bakehouse_engine::ports::{
    EventLog, ListQuery, Notices, PresentationReader, PresentationStore, Scheduler, SourceStore,
};
use bakehouse_engine::stages::baker;
use bakehouse_engine::stages::baker::{BakerDeps, BakerSettings};
use bakehouse_engine::stages::manager;
use bakehouse_engine::stages::manager::{ManagerDeps, ManagerSettings};
use bakehouse_engine::stages::writer;
use bakehouse_engine::stages::writer::{WriterDeps, WriterSettings};
use bakehouse_engine::{Operation, Rejection, Shutdown, Terms};
use bakehouse_faults::{Faults, Flaky};
use bakehouse_memory::{
    InProcessNotices, MemoryLeases, MemoryLog, MemoryPresentation, MemoryScheduler, MemorySource,
    schedule_queue,
};
use bakehouse_testkit::counter::{Command, Counter};
use bakehouse_testkit::operations::{many, operation, with_identity};

/// Running engine and its stores.
struct World {
    scheduler: MemoryScheduler,
    log: MemoryLog,
    presentation: MemoryPresentation,
    feed: Arc<Feed>,
    shutdown: Shutdown,
}

/// Starts `instances` of every stage over the same stores, which fail at `rate`.
fn start(seed: u64, rate: f64, instances: usize) -> World {
    let (scheduler, _) = schedule_queue();
    let log = MemoryLog::default();
    let source = MemorySource::new(log.clone());
    let presentation = MemoryPresentation::default();
    let notices: Arc<dyn Notices> = Arc::new(InProcessNotices::default());
    let feed_settings = FeedSettings {
        ring: 32,
        poll_interval: Duration::from_millis(50),
    };
    let world = World {
        feed: Feed::new(
            Arc::new(presentation.clone()),
            Arc::new(log.clone()),
            feed_settings,
        ),
        scheduler,
        log,
        presentation,
        shutdown: Shutdown::new(),
    };
    tokio::spawn(
        world
            .feed
            .clone()
            .run(notices.clone(), world.shutdown.clone()),
    );
    let faults = Faults::new(seed, rate);
    let leases = Arc::new(MemoryLeases::default());
    let source: Arc<dyn SourceStore> = Arc::new(source);
    for instance in 0..instances {
        stages(&world, &faults, &source, &leases, &notices, instance);
    }
    world
}

fn stages(
    world: &World,
    faults: &Faults,
    source: &Arc<dyn SourceStore>,
    leases: &Arc<MemoryLeases>,
    notices: &Arc<dyn Notices>,
    instance: usize,
) {
    let log: Arc<dyn EventLog> =
        Flaky::new(Arc::new(world.log.clone()) as Arc<dyn EventLog>, faults);
    let source: Arc<dyn SourceStore> = Flaky::new(source.clone(), faults);
    let presentation = Arc::new(world.presentation.clone()) as Arc<dyn PresentationStore>;
    let presentation: Arc<dyn PresentationStore> = Flaky::new(presentation, faults);
    let instance = format!("instance-{instance}");
    if instance == "instance-0" {
        let deps = WriterDeps {
            queue: Box::new(world.scheduler.consumer()),
            log: log.clone(),
            notices: notices.clone(),
        };
        let settings = WriterSettings { max_batch: 7 };
        tokio::spawn(writer::run(deps, settings, world.shutdown.clone()));
    }
    let deps = ManagerDeps {
        log: log.clone(),
        source: source.clone(),
        leases: leases.clone(),
        notices: notices.clone(),
        rebuilds: None,
    };
    let settings = ManagerSettings {
        instance: instance.clone(),
        poll_interval: Duration::from_millis(20),
        max_batch: 5,
        lease_ttl: Duration::from_millis(300),
    };
    tokio::spawn(manager::run::<Counter>(
        deps,
        settings,
        world.shutdown.clone(),
    ));
    let deps = BakerDeps {
        log,
        source,
        presentation,
        leases: leases.clone(),
        notices: notices.clone(),
        rebuilds: None,
    };
    let settings = BakerSettings {
        instance,
        poll_interval: Duration::from_millis(20),
        max_batch: 6,
        lease_ttl: Duration::from_millis(300),
    };
    tokio::spawn(baker::run::<Counter>(
        deps,
        settings,
        world.shutdown.clone(),
    ));
}

impl World {
    async fn send(&self, operations: &[Operation]) {
        for operation in operations {
            self.scheduler
                .schedule(operation)
                .await
                .expect("memory never refuses");
        }
    }

    /// Waits until the log has been baked up to `position`, for a limited time.
    async fn baked(&self, position: u64) {
        let reached = async {
            while self
                .presentation
                .head()
                .await
                .map_or(0, |head| head.position)
                < position
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let limit = Duration::from_secs(600);
        tokio::time::timeout(limit, reached)
            .await
            .expect("everything is baked in time");
    }
}

#[tokio::test(start_paused = true)]
async fn stores_that_fail_lose_nothing_and_double_nothing() {
    for seed in 0..20 {
        let world = start(seed, 0.12, 2);
        let operations = many("c", 120);
        world.send(&operations).await;
        // Redelivers some of them, as a broker does after a lost acknowledgement.
        world.send(&operations[30..60]).await;
        world.baked(120).await;
        let events = world.log.read(0, 1_000).await.expect("memory answers");
        let stored: Vec<_> = events.iter().map(|e| e.operation.operation_id).collect();
        let sent: Vec<_> = operations.iter().map(|o| o.operation_id).collect();
        assert_eq!(
            stored, sent,
            "seed {seed}: each once, in the order of the queue"
        );
        let query = ListQuery::newest(1_000);
        let documents = world
            .presentation
            .list(&query)
            .await
            .expect("memory answers");
        let numbers: Vec<_> = documents.iter().map(|document| document.number).collect();
        assert_eq!(numbers, (1..=120).rev().collect::<Vec<_>>(), "seed {seed}");
        world.shutdown.cancel();
    }
}

#[tokio::test(start_paused = true)]
async fn a_reused_identity_is_rejected_in_the_feed() {
    let world = start(1, 0.0, 1);
    let first = operation("a", &Command::Add(5));
    let other = with_identity(first.operation_id, "a", &Command::Add(7));
    world
        .send(&[first.clone(), other.clone(), first, other])
        .await;
    world.baked(2).await;
    let frames = world
        .presentation
        .frames(0, 10)
        .await
        .expect("memory answers");
    let kinds: Vec<_> = frames.iter().map(|frame| frame.kind.as_str()).collect();
    assert_eq!(kinds, ["counter.raised", "counter.rejected"]);
    let document = world
        .presentation
        .document("a")
        .await
        .expect("memory answers");
    assert!(
        document
            .expect("it exists")
            .body
            .get()
            .contains("\"value\":5")
    );
    world.shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn only_the_owner_and_only_the_expected_version_is_changed() {
    let world = start(3, 0.0, 1);
    let under = |terms: Terms| {
        let mut operation = operation("a", &Command::Add(1));
        operation.terms = terms;
        operation
    };
    let by = |owner: &str, expected_version: Option<u64>| {
        under(Terms {
            actor: Some(format!("{owner}'s app")),
            owner: Some(owner.to_owned()),
            expected_version,
            ..Terms::default()
        })
    };
    let operations = [
        by("ada", Some(1)),
        by("ada", None),
        by("bob", None),
        by("ada", Some(1)),
        by("ada", Some(1)),
        under(Terms::default()),
    ];
    world.send(&operations).await;
    world.baked(6).await;
    let events = world.log.read(0, 10).await.expect("memory answers");
    let reasons: Vec<_> = events.iter().map(|event| event.reason.as_deref()).collect();
    let missing = Some("there is no such counter");
    let late = Some("the counter is at version 2, not 1");
    assert_eq!(reasons, [missing, None, missing, None, late, None]);
    let codes: Vec<_> = events.iter().map(|event| event.code.as_deref()).collect();
    let conflict = Some(Rejection::VERSION_CONFLICT);
    assert_eq!(codes, [None, None, None, None, conflict, None]);
    let frames = world
        .presentation
        .frames(0, 10)
        .await
        .expect("memory answers");
    let owners: Vec<_> = frames.iter().map(|frame| frame.owner.as_deref()).collect();
    let (ada, bob) = (Some("ada"), Some("bob"));
    assert_eq!(owners, [ada, ada, bob, ada, ada, ada]);
    let document = world.presentation.document("a").await;
    let document = document.expect("memory answers").expect("it exists");
    assert_eq!((document.owner.as_deref(), document.version), (ada, 3));
    world.shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn subscribers_see_every_position_once_wherever_they_start() {
    let world = start(2, 0.05, 1);
    world.send(&many("a", 50)).await;
    world.baked(50).await;
    // The ring holds 32 frames: one starts in the store, one in the ring.
    let mut readers = Vec::new();
    for since in [0, 40] {
        let feed = world.feed.clone();
        readers.push(tokio::spawn(follow(feed, since, 200)));
    }
    for part in 0..15 {
        world.send(&many(&format!("b{part}"), 10)).await;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    for (reader, since) in readers.into_iter().zip([0, 40]) {
        let seen = reader.await.expect("the reader ends");
        assert_eq!(seen, (since + 1..=200).collect::<Vec<_>>());
    }
    world.shutdown.cancel();
}

/// Follows the feed up to `until` like a client: resumes from its last position when it was too
/// slow.
async fn follow(feed: Arc<Feed>, since: u64, until: u64) -> Vec<u64> {
    let mut seen = Vec::new();
    while seen.last() != Some(&until) {
        let cursor = seen.last().copied().unwrap_or(since);
        let Ok(mut subscription) = feed.subscribe(Some(cursor), None) else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        while let Ok(item) = subscription.next().await {
            if let FeedItem::Frames(frames) = item {
                seen.extend(frames.iter().map(|frame| frame.position));
            }
            if seen.last() == Some(&until) {
                break;
            }
        }
    }
    seen
}
