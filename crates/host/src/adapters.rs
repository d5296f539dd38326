//! Adapters behind the ports of the engine: the embedded store, or MongoDB and RabbitMQ.

use std::sync::Arc;

use bakehouse_engine::ports::{
    Backlog, EventLog, Leases, Notices, Notifications, PresentationReader, PresentationStore,
    Probe, RowReader, RowStore, ScheduleConsumer, Scheduler, ShadowStores, SourceInspector,
    SourceStore, StoreError, UnitsOfWork,
};
use bakehouse_http::routes::health::Probes;
use bakehouse_memory::InProcessNotices;
use bakehouse_sqlite::SqliteStore;
use futures_util::future::{BoxFuture, LocalBoxFuture};

/// Adapters of all services.
pub(crate) struct Adapters {
    /// Schedule queue, to submit operations.
    pub(crate) scheduler: Arc<dyn Scheduler>,
    /// Schedule queue, to consume them.
    pub(crate) queue: Box<dyn ScheduleConsumer>,
    /// The log.
    pub(crate) log: Arc<dyn EventLog>,
    /// The source state.
    pub(crate) source: Arc<dyn SourceStore>,
    /// Rebuilds of the source state.
    pub(crate) source_rebuilds: Arc<dyn ShadowStores<dyn SourceStore>>,
    /// Leases of the stages that write to the source.
    pub(crate) source_leases: Arc<dyn Leases>,
    /// Documents and frames, to write.
    pub(crate) presentation: Arc<dyn PresentationStore>,
    /// Rebuilds of documents and frames.
    pub(crate) presentation_rebuilds: Arc<dyn ShadowStores<dyn PresentationStore>>,
    /// Documents and frames, to read.
    pub(crate) reader: Arc<dyn PresentationReader>,
    /// Leases of the stages that write to the presentation.
    pub(crate) presentation_leases: Arc<dyn Leases>,
    /// Rows of read models, to write.
    pub(crate) rows: Arc<dyn RowStore>,
    /// Rows of read models, to read.
    pub(crate) row_reader: Arc<dyn RowReader>,
    /// States of process managers.
    pub(crate) states: Arc<dyn RowStore>,
    /// Notifications to be sent.
    pub(crate) notifications: Arc<dyn Notifications>,
    /// Transactions over all stores, if they have any.
    pub(crate) units: Option<Arc<dyn UnitsOfWork>>,
    /// Notices between the services.
    pub(crate) notices: Arc<dyn Notices>,
    /// Probes of the stores and the broker.
    pub(crate) probes: Probes,
    /// Probe of the policies on the broker's queues.
    pub(crate) policies: Option<Arc<dyn Probe>>,
    /// Accepted operations that are not in the log yet.
    pub(crate) backlog: Arc<dyn Backlog>,
    /// Source database, for the notifier's checkpoint.
    pub(crate) source_inspector: Arc<dyn SourceInspector>,
    /// Ends once the stores have failed permanently.
    pub(crate) failure: BoxFuture<'static, StoreError>,
    /// Waits until the stores are available, and creates what is missing; `false` at shutdown.
    pub(crate) prepared: LocalBoxFuture<'static, bool>,
}

impl Adapters {
    /// Adapters of an embedded store.
    #[must_use]
    pub(crate) fn in_process(store: &SqliteStore) -> Self {
        Self {
            scheduler: store.scheduler(),
            queue: store.consumer(),
            log: store.log(),
            source: store.source(),
            source_rebuilds: store.source_rebuilds(),
            source_leases: store.leases(),
            presentation: store.presentation(),
            presentation_rebuilds: store.presentation_rebuilds(),
            reader: store.reader(),
            presentation_leases: store.leases(),
            rows: store.rows(),
            row_reader: store.row_reader(),
            states: store.rows(),
            notifications: store.notifications(),
            units: Some(Arc::new(store.clone())),
            notices: Arc::new(InProcessNotices::default()),
            probes: vec![store.probe()],
            policies: None,
            backlog: store.backlog(),
            source_inspector: store.source_inspector(),
            failure: Box::pin(store.failure()),
            prepared: Box::pin(std::future::ready(true)),
        }
    }

    /// Adapters of MongoDB and RabbitMQ.
    #[cfg(feature = "servers")]
    #[must_use]
    pub(crate) fn on_servers(
        source: bakehouse_mongodb::SourceDatabase,
        presentation: bakehouse_mongodb::PresentationDatabase,
        broker: &bakehouse_rabbitmq::Broker,
        shutdown: bakehouse_engine::Shutdown,
    ) -> Self {
        Self {
            scheduler: broker.scheduler(),
            queue: broker.consumer(),
            log: source.log(),
            source: source.source(),
            source_rebuilds: source.source_rebuilds(),
            source_leases: source.leases(),
            presentation: presentation.presentation(),
            presentation_rebuilds: presentation.presentation_rebuilds(),
            reader: presentation.reader(),
            presentation_leases: presentation.leases(),
            rows: presentation.rows(),
            row_reader: presentation.row_reader(),
            states: source.rows(),
            notifications: source.notifications(),
            units: None,
            notices: broker.notices(),
            probes: vec![broker.probe(), source.probe(), presentation.probe()],
            policies: Some(broker.policy_probe()),
            backlog: broker.backlog(),
            source_inspector: source.inspector(),
            failure: Box::pin(std::future::pending()),
            prepared: Box::pin(async move {
                source.prepare(&shutdown).await && presentation.prepare(&shutdown).await
            }),
        }
    }
}
