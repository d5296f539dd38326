//! Conformance of the memory adapter to the suites of the store ports.

use std::sync::Arc;

use bakehouse_engine::handlers::own_feed::OwnFeed;
use bakehouse_engine::ports::{
    Backlog, Checkpoint, EventLog, Leases, Notices, Notifications, PresentationReader,
    PresentationStore, RowReader, RowStore, Scheduler, SourceStore,
};
use bakehouse_memory::{
    InProcessNotices, MemoryLeases, MemoryLog, MemoryNotifications, MemoryPresentation, MemoryRows,
    MemorySource, MemorySourceInspector, schedule_queue,
};
use bakehouse_testkit::conformance::feeds::FeedSetup;
use bakehouse_testkit::conformance::inspect::InspectedStores;
use bakehouse_testkit::conformance::lost_answers::AllStores;
use bakehouse_testkit::conformance::presentation::baking;
use bakehouse_testkit::conformance::rebuilds::RebuildStores;
use bakehouse_testkit::conformance::schedule::Consumers;
use bakehouse_testkit::conformance::source::creation;
use bakehouse_testkit::operations::many;

bakehouse_testkit::event_log_suite!(event_log, async {
    Arc::new(MemoryLog::default()) as Arc<dyn EventLog>
});

bakehouse_testkit::source_suite!(source, async {
    let log = MemoryLog::default();
    let source = Arc::new(MemorySource::new(log.clone())) as Arc<dyn SourceStore>;
    (Arc::new(log) as Arc<dyn EventLog>, source)
});

bakehouse_testkit::presentation_suite!(presentation, async {
    let store = MemoryPresentation::default();
    let reader = Arc::new(store.clone()) as Arc<dyn PresentationReader>;
    (Arc::new(store) as Arc<dyn PresentationStore>, reader)
});

bakehouse_testkit::rows_suite!(rows, async {
    let store = MemoryRows::default();
    let reader = Arc::new(store.clone()) as Arc<dyn RowReader>;
    (Arc::new(store) as Arc<dyn RowStore>, reader)
});

bakehouse_testkit::leases_suite!(leases, async {
    Arc::new(MemoryLeases::default()) as Arc<dyn Leases>
});

bakehouse_testkit::schedule_suite!(schedule, async {
    let (scheduler, _) = schedule_queue();
    let consumers = scheduler.clone();
    let consumers: Consumers = Box::new(move || Box::new(consumers.consumer()));
    (Arc::new(scheduler) as Arc<dyn Scheduler>, consumers)
});

bakehouse_testkit::notifications_suite!(notifications, async {
    Arc::new(MemoryNotifications::default()) as Arc<dyn Notifications>
});

bakehouse_testkit::inspect_suite!(inspect, async {
    let log = MemoryLog::default();
    let source = MemorySource::new(log.clone());
    let notifications = MemoryNotifications::default();
    let presentation = MemoryPresentation::default();
    InspectedStores {
        source_inspector: Arc::new(MemorySourceInspector {
            source: source.clone(),
            notifications: notifications.clone(),
        }),
        presentation_inspector: Arc::new(presentation.clone()),
        reader: Arc::new(presentation.clone()),
        presentation: Arc::new(presentation),
        notifications: Arc::new(notifications),
        source: Arc::new(source),
        log: Arc::new(log),
    }
});

bakehouse_testkit::backlog_suite!(backlog, async {
    let (scheduler, _) = schedule_queue();
    let (consumers, backlog) = (scheduler.clone(), scheduler.clone());
    let consumers: Consumers = Box::new(move || Box::new(consumers.consumer()));
    let queue = (Arc::new(scheduler) as Arc<dyn Scheduler>, consumers);
    (queue, Arc::new(backlog) as Arc<dyn Backlog>)
});

bakehouse_testkit::rebuilds_suite!(rebuilds, async {
    let log = MemoryLog::default();
    let source = MemorySource::new(log.clone());
    let presentation = MemoryPresentation::default();
    RebuildStores {
        presentations: presentation.rebuilds(),
        reader: Arc::new(presentation.clone()),
        presentation: Arc::new(presentation),
        sources: source.rebuilds(),
        source: Arc::new(source),
        log: Arc::new(log),
    }
});

bakehouse_testkit::lost_answers_suite!(lost_answers, async {
    let log = MemoryLog::default();
    let presentation = MemoryPresentation::default();
    AllStores {
        source: Arc::new(MemorySource::new(log.clone())),
        log: Arc::new(log),
        reader: Arc::new(presentation.clone()),
        presentation: Arc::new(presentation),
        notifications: Arc::new(MemoryNotifications::default()),
        leases: Arc::new(MemoryLeases::default()),
    }
});

bakehouse_testkit::notices_suite!(notices, async {
    Arc::new(InProcessNotices::default()) as Arc<dyn Notices>
});

bakehouse_testkit::feeds_suite!(own_feed, async {
    let log = MemoryLog::default();
    let source = MemorySource::new(log.clone());
    let presentation = MemoryPresentation::default();
    let epoch = log.epoch().await.expect("an epoch");
    log.append(&many("a", 5)).await.expect("appended");
    let mut execution = creation(Checkpoint::default(), "a-0", 5);
    execution.to.position = 5;
    source.commit(&execution).await.expect("executed");
    presentation.open(&epoch).await.expect("opened");
    presentation.commit(&baking(0, 5)).await.expect("baked");
    let feed = OwnFeed {
        log: Arc::new(log),
        progress: Arc::new(source),
        presentation: Arc::new(presentation),
    };
    FeedSetup {
        feed: Arc::new(feed),
        epoch,
        guard: (),
    }
});
