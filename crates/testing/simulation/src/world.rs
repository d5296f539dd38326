//! The services and their stores; each service runs in processes that are killed and restarted.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::feed::{Feed, FeedSettings};
use bakehouse_engine::handlers::own_feed::OwnFeed;
use bakehouse_engine::handlers::projector::RunnerContext;
use bakehouse_engine::handlers::runner::HandlerDeps;
use bakehouse_engine::handlers::{
    Feeds, HandlerSettings, process, process_runner, projector, read_model,
};
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{
    EventLog, FeedSource, Leases, Notice, Notices, PresentationStore, RowStore, ScheduleError,
    Scheduler, SourceStore,
};
use bakehouse_engine::stages::baker::{self, BakerDeps, BakerSettings};
use bakehouse_engine::stages::manager::{self, ManagerDeps, ManagerSettings};
use bakehouse_engine::stages::writer::{self, WriterDeps, WriterSettings};
use bakehouse_engine::{LogEntry, Resolution, Shutdown, Verb};
use bakehouse_faults::ports::NoticesHooks;
use bakehouse_faults::{Bug, Faults, Flaky, Intercepted, Interceptor, plant};
use bakehouse_memory::{
    InProcessNotices, MemoryLeases, MemoryLog, MemoryPresentation, MemoryRows, MemorySource,
};
use bakehouse_testkit::counter::Counter;
use bakehouse_testkit::handler_runners::{Guests, Tally, Thirds};
use bakehouse_testkit::operations::with_identity;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::queue::{Queue, QueueConsumer, QueueSender};

/// Number of events in the feed of the other service.
pub(crate) const GUESTS: u64 = 25;
const LEASE_TTL: Duration = Duration::from_millis(300);
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// Poll interval with [`Bug::LostWakeUp`]; longer than any run.
const DISABLED_INTERVAL: Duration = Duration::from_secs(1_000_000);

/// All stores, and everything else that outlives processes.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) bug: Option<Bug>,
    pub(crate) queue: Queue,
    pub(crate) log: MemoryLog,
    pub(crate) source: MemorySource,
    pub(crate) presentation: MemoryPresentation,
    pub(crate) rows: MemoryRows,
    pub(crate) states: MemoryRows,
    pub(crate) feed: Arc<Feed>,
    leases: MemoryLeases,
    notices: Arc<dyn Notices>,
    shutdown: Shutdown,
}

/// Kind of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Writer,
    Manager,
    Baker,
    Projector,
    ProcessRunner,
}

/// All processes, by kind and instance: one writer, as the queue has a single active consumer, and
/// two of each other service.
pub(crate) const PROCESSES: [(Service, u64); 9] = [
    (Service::Writer, 0),
    (Service::Manager, 0),
    (Service::Manager, 1),
    (Service::Baker, 0),
    (Service::Baker, 1),
    (Service::Projector, 0),
    (Service::Projector, 1),
    (Service::ProcessRunner, 0),
    (Service::ProcessRunner, 1),
];

/// Running process; killed at its current await point when dropped.
pub(crate) struct Process(JoinHandle<()>);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Process {
    /// Kills the process and waits until its task has ended.
    pub(crate) async fn kill(mut self) {
        self.0.abort();
        let _ = (&mut self.0).await;
    }
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let log = MemoryLog::default();
        let presentation = MemoryPresentation::default();
        let settings = FeedSettings {
            ring: 16,
            poll_interval: POLL_INTERVAL,
        };
        let shutdown = Shutdown::new();
        let notices: Arc<dyn Notices> = Intercepted::with(
            Arc::new(InProcessNotices::default()) as Arc<dyn Notices>,
            LossyNotices(Faults::new(seed ^ 0x5eed, 0.0)),
        );
        let feed = Feed::new(
            Arc::new(presentation.clone()),
            Arc::new(log.clone()),
            settings,
        );
        tokio::spawn(feed.clone().run(notices.clone(), shutdown.clone()));
        Self {
            seed,
            bug,
            queue: Queue::default(),
            source: MemorySource::new(log.clone()),
            log,
            presentation,
            rows: MemoryRows::default(),
            states: MemoryRows::default(),
            feed,
            leases: MemoryLeases::default(),
            notices,
            shutdown,
        }
    }

    /// Returns the faults of one actor: a client, or one life of a process.
    pub(crate) fn faults(&self, actor: u64) -> Faults {
        Faults::new(self.seed.wrapping_mul(1_000_003) ^ actor, 0.03)
            .with_latency(Duration::from_millis(3))
            .with_pauses(0.01, 3 * LEASE_TTL)
    }

    /// Returns the sending end of the queue for a client.
    pub(crate) fn sender(&self, client: u64) -> QueueSender {
        QueueSender {
            queue: self.queue.clone(),
            faults: self.faults(10_000 + client),
            bug: self.bug,
        }
    }

    /// Starts a process; `life` counts its restarts.
    pub(crate) fn start(&self, (service, instance): (Service, u64), life: u64) -> Process {
        let faults = self.faults(100 * life + 10 * service as u64 + instance);
        let deps = FaultyDeps::new(self, &faults);
        let name = format!("{service:?}-{instance}-{life}");
        let shutdown = self.shutdown.clone();
        Process(match service {
            Service::Writer => {
                let deps = WriterDeps {
                    queue: Box::new(QueueConsumer::new(&self.queue, &faults, self.bug)),
                    log: deps.log,
                    notices: deps.notices,
                };
                tokio::spawn(writer::run(deps, WriterSettings { max_batch: 7 }, shutdown))
            }
            Service::Manager => {
                let deps = ManagerDeps {
                    log: deps.log,
                    source: deps.source,
                    leases: deps.leases,
                    notices: deps.notices,
                    rebuilds: Some(Flaky::new(self.source.rebuilds(), &faults)),
                };
                let settings = ManagerSettings {
                    instance: name,
                    poll_interval: self.poll_interval(),
                    max_batch: 5,
                    lease_ttl: LEASE_TTL,
                };
                tokio::spawn(manager::run::<Counter>(deps, settings, shutdown))
            }
            Service::Baker => {
                let deps = BakerDeps {
                    log: deps.log,
                    source: deps.source,
                    presentation: deps.presentation,
                    leases: deps.leases,
                    notices: deps.notices,
                    rebuilds: Some(Flaky::new(self.presentation.rebuilds(), &faults)),
                };
                let settings = BakerSettings {
                    instance: name,
                    poll_interval: self.poll_interval(),
                    max_batch: 6,
                    lease_ttl: LEASE_TTL,
                };
                tokio::spawn(baker::run::<Counter>(deps, settings, shutdown))
            }
            Service::Projector => {
                let (handler_deps, context) = deps.handlers(self, &self.rows, &faults);
                let settings = self.handler_settings(name);
                tokio::spawn(projector::run(
                    handler_deps,
                    read_model::<Tally>(),
                    context,
                    settings,
                    shutdown,
                ))
            }
            Service::ProcessRunner => {
                let (handler_deps, context) = deps.handlers(self, &self.states, &faults);
                let settings = self.handler_settings(name);
                tokio::spawn(process_runner::run(
                    handler_deps,
                    process::<Thirds>(),
                    context,
                    settings,
                    shutdown,
                ))
            }
        })
    }

    /// Fixes the start position of the process manager: the beginning of its feeds.
    pub(crate) async fn prepare(&self) {
        let faults = Faults::new(self.seed, 0.0);
        let deps = FaultyDeps::new(self, &faults);
        let (handler_deps, _) = deps.handlers(self, &self.states, &faults);
        process_runner::prepare(&handler_deps, &process::<Thirds>(), &self.shutdown).await;
    }

    /// Discards the first parked entry of an entity, as an operator does; `number` makes the
    /// request unique.
    pub(crate) async fn discard(&self, entry: &LogEntry, number: u64) -> Result<(), ScheduleError> {
        let resolution = Resolution {
            operation_id: entry.operation.operation_id,
            reason: Some("unreadable".into()),
        };
        let number = number.to_string();
        let identity = ids::derived(&["discard", entry.entity_id(), &number]);
        let mut operation = with_identity(identity, entry.entity_id(), &resolution);
        operation.operation = Verb::Discard;
        let faults = Faults::new(self.seed, 0.0);
        let sender = QueueSender {
            queue: self.queue.clone(),
            faults,
            bug: None,
        };
        sender.schedule(&operation).await
    }

    /// Shuts down all services.
    pub(crate) fn end(&self) {
        self.shutdown.cancel();
    }

    fn poll_interval(&self) -> Duration {
        match self.bug {
            Some(Bug::LostWakeUp) => DISABLED_INTERVAL,
            _ => POLL_INTERVAL,
        }
    }

    fn handler_settings(&self, instance: String) -> HandlerSettings {
        HandlerSettings {
            instance,
            poll_interval: self.poll_interval(),
            max_batch: 4,
            lease_ttl: LEASE_TTL,
        }
    }
}

/// Dependencies of one process, with faults and latency.
struct FaultyDeps {
    log: Arc<dyn EventLog>,
    source: Arc<dyn SourceStore>,
    presentation: Arc<dyn PresentationStore>,
    leases: Arc<dyn Leases>,
    notices: Arc<dyn Notices>,
}

impl FaultyDeps {
    fn new(world: &World, faults: &Faults) -> Self {
        let bug = world.bug;
        let log = plant(Arc::new(world.log.clone()) as Arc<dyn EventLog>, bug);
        let source = Flaky::new(
            Arc::new(world.source.clone()) as Arc<dyn SourceStore>,
            faults,
        );
        let presentation = Arc::new(world.presentation.clone()) as Arc<dyn PresentationStore>;
        let presentation = Flaky::new(presentation, faults);
        let leases = Flaky::new(Arc::new(world.leases.clone()) as Arc<dyn Leases>, faults);
        Self {
            log: Flaky::new(log, faults),
            source: plant(source as Arc<dyn SourceStore>, bug),
            presentation: plant(presentation as Arc<dyn PresentationStore>, bug),
            leases: plant(leases as Arc<dyn Leases>, bug),
            notices: world.notices.clone(),
        }
    }

    fn handlers(
        self,
        world: &World,
        rows: &MemoryRows,
        faults: &Faults,
    ) -> (HandlerDeps, RunnerContext) {
        let own = Arc::new(OwnFeed {
            log: self.log.clone(),
            progress: self.source.clone(),
            presentation: Arc::new(world.presentation.clone()),
        });
        let own: Arc<dyn FeedSource> = Flaky::new(own as Arc<dyn FeedSource>, faults);
        let guests = Arc::new(Guests(GUESTS)) as Arc<dyn FeedSource>;
        let guests: Arc<dyn FeedSource> = Flaky::new(guests, faults);
        let rows = Flaky::new(Arc::new(rows.clone()) as Arc<dyn RowStore>, faults);
        let deps = HandlerDeps {
            feeds: Feeds::default()
                .with("counter", move || own.clone())
                .with("guest", move || guests.clone()),
            rows: plant(rows as Arc<dyn RowStore>, world.bug),
            scheduler: Arc::new(QueueSender {
                queue: world.queue.clone(),
                faults: faults.clone(),
                bug: None,
            }),
            log: self.log,
            domain: "counter",
        };
        let context = RunnerContext {
            leases: self.leases,
            notices: self.notices,
            wake_signal: watch::channel(0).1,
        };
        (deps, context)
    }
}

/// Notices of which 30 % are lost.
struct LossyNotices(Faults);

impl Interceptor for LossyNotices {}

#[async_trait]
impl NoticesHooks for LossyNotices {
    async fn publish(&self, inner: &Arc<dyn Notices>, notice: Notice) {
        if !self.0.occurs(0.3) {
            inner.publish(notice).await;
        }
    }
}
