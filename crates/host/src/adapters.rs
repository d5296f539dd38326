//! Who stands behind the doors of one domain, all in this process or on servers.

use std::sync::Arc;

use bakehouse_engine::feed::Feed;
use bakehouse_engine::ports::{
    Backlog, EventLog, Leases, Notices, Notifications, PresentationReader, PresentationStore,
    Probe, RowReader, RowStore, ScheduleConsumer, Scheduler, ShadowStores, SourceInspector,
    SourceStore, StoreError, UnitsOfWork,
};
use bakehouse_http::routes::health::Probes;
use bakehouse_memory::InProcessNotices;
use bakehouse_sqlite::SqliteStore;
use futures_util::future::{BoxFuture, LocalBoxFuture};

/// All doors that the four services need.
pub struct Adapters {
    /// Where accepted operations go.
    pub scheduler: Arc<dyn Scheduler>,
    /// Where events-writer takes them from.
    pub queue: Box<dyn ScheduleConsumer>,
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The source state.
    pub source: Arc<dyn SourceStore>,
    /// Where it is made anew.
    pub source_rebuilds: Arc<dyn ShadowStores<dyn SourceStore>>,
    /// Who leads, of those that work on the source.
    pub source_leases: Arc<dyn Leases>,
    /// Where data-baker writes.
    pub presentation: Arc<dyn PresentationStore>,
    /// Where that is made anew.
    pub presentation_rebuilds: Arc<dyn ShadowStores<dyn PresentationStore>>,
    /// Where everybody reads.
    pub reader: Arc<dyn PresentationReader>,
    /// Who leads, of those that work on the presentation.
    pub presentation_leases: Arc<dyn Leases>,
    /// Where read models write.
    pub rows: Arc<dyn RowStore>,
    /// Where they are read.
    pub row_reader: Arc<dyn RowReader>,
    /// Where process managers write.
    pub states: Arc<dyn RowStore>,
    /// What is to be sent to whom.
    pub notifications: Arc<dyn Notifications>,
    /// All of that in one transaction, where the stores can do so.
    pub units: Option<Arc<dyn UnitsOfWork>>,
    /// Who wakes whom.
    pub notices: Arc<dyn Notices>,
    /// Feed that subscribers follow, where something else than the API does as well; it runs with
    /// the API.
    pub feed: Option<Arc<Feed>>,
    /// Probes of the stores and the broker.
    pub probes: Probes,
    /// Probe of the policies on the broker's queues.
    pub policies: Option<Arc<dyn Probe>>,
    /// Accepted operations that are not in the log yet.
    pub backlog: Arc<dyn Backlog>,
    /// Source database, for the notifier's checkpoint.
    pub source_inspector: Arc<dyn SourceInspector>,
    /// Waits until the stores cannot go on in this process.
    pub failure: BoxFuture<'static, StoreError>,
    /// Waits until all that is there, and makes what is missing. `false`: there was a
    /// shutdown first.
    pub prepared: LocalBoxFuture<'static, bool>,
}

impl Adapters {
    /// On an embedded store, of which nobody else knows.
    #[must_use]
    pub fn in_process(store: &SqliteStore) -> Self {
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
            feed: None,
            probes: vec![store.probe()],
            policies: None,
            backlog: store.backlog(),
            source_inspector: store.source_inspector(),
            failure: Box::pin(store.failure()),
            prepared: Box::pin(std::future::ready(true)),
        }
    }

    /// On MongoDB and RabbitMQ.
    #[cfg(feature = "servers")]
    #[must_use]
    pub fn on_servers(
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
            feed: None,
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
