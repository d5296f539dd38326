//! The log, the source state, the presentation and the leases in MongoDB.
//!
//! Every write waits for the majority and the journal, can be repeated, and is
//! one of two kinds: an ordered insert under a unique index (the log), or a
//! transaction that starts by moving a checkpoint from where it must be
//! (`transaction`). Reads that decide something are majority reads that miss nothing that was
//! seen before (`reading`).

mod checkpoints;
mod connection;
mod convert;
mod error;
mod event_log;
mod event_rows;
mod inspect;
mod leases;
mod list;
mod notifications;
mod presentation;
mod probe;
mod read_models;
mod reading;
mod rebuilds;
mod source;
mod transaction;
mod update;

use std::sync::Arc;

use bakehouse_engine::ports::{
    EventLog, Integrity, Leases, Notifications, PresentationInspector, PresentationReader,
    PresentationStore, Probe, RowInspector, RowReader, RowStore, ShadowStores, SourceInspector,
    SourceStore,
};
use bakehouse_engine::probe::SingleFlight;
use bakehouse_engine::{Facet, Shutdown};
use connection::Connection;
pub use connection::{ConnectError, Settings};
use inspect::MongoInspector;
use presentation::MongoPresentation;
use rebuilds::MongoRebuilds;
use source::MongoSource;

/// The source database: `events`, `orders`, `snapshots`, `notifications`,
/// `checkpoints`, `leases`, `meta`.
pub struct SourceDatabase {
    connection: Connection,
    source: Arc<MongoSource>,
}

impl SourceDatabase {
    /// A handle; nothing is sent yet. `entities` names the collection of the
    /// source state: the domain's plural.
    ///
    /// # Errors
    /// When the URI cannot be used.
    pub async fn new(settings: &Settings, entities: &str) -> Result<Self, ConnectError> {
        let connection = Connection::new(settings, "source database").await?;
        let source = Arc::new(MongoSource::new(connection.clone(), entities));
        Ok(Self { connection, source })
    }

    /// Waits until the server is there, and makes what is missing: the replica
    /// set (if the settings say so) and the indexes. `false`: shutdown came first.
    pub async fn prepare(&self, shutdown: &Shutdown) -> bool {
        let log = event_log::MongoLog::new(self.connection.clone());
        let record = notifications::MongoNotifications::new(self.connection.clone());
        let make = async || {
            log.make_indexes().await?;
            self.source.make_indexes().await?;
            record.make_indexes().await
        };
        self.connection.prepare(shutdown, make).await
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> Arc<dyn EventLog> {
        Arc::new(event_log::MongoLog::new(self.connection.clone()))
    }

    /// The source state.
    #[must_use]
    pub fn source(&self) -> Arc<dyn SourceStore> {
        self.source.clone()
    }

    /// Where it is made anew.
    #[must_use]
    pub fn source_rebuilds(&self) -> Arc<dyn ShadowStores<dyn SourceStore>> {
        Arc::new(MongoRebuilds(self.source.clone()))
    }

    /// The record of notifications.
    #[must_use]
    pub fn notifications(&self) -> Arc<dyn Notifications> {
        Arc::new(notifications::MongoNotifications::new(
            self.connection.clone(),
        ))
    }

    /// The state of process managers.
    #[must_use]
    pub fn rows(&self) -> Arc<dyn RowStore> {
        Arc::new(read_models::MongoRows::new(self.connection.clone()))
    }

    /// The leases of stages that write here.
    #[must_use]
    pub fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(leases::MongoLeases(self.connection.clone()))
    }

    /// Readiness: whether it takes writes.
    #[must_use]
    pub fn probe(&self) -> Arc<dyn Probe> {
        Arc::new(SingleFlight::new(probe::MongoProbe(
            self.connection.clone(),
        )))
    }

    fn inspector_of(&self) -> Arc<MongoInspector> {
        Arc::new(MongoInspector {
            connection: self.connection.clone(),
            entities: self.source.entities().to_owned(),
        })
    }

    /// Source state of an audit.
    #[must_use]
    pub fn inspector(&self) -> Arc<dyn SourceInspector> {
        self.inspector_of()
    }

    /// Indexes that the log relies upon.
    #[must_use]
    pub fn integrity(&self) -> Arc<dyn Integrity> {
        self.inspector_of()
    }
}

/// The presentation database: `orders`, `feed`, `checkpoints`, `leases`.
pub struct PresentationDatabase {
    connection: Connection,
    presentation: Arc<MongoPresentation>,
}

impl PresentationDatabase {
    /// A handle; nothing is sent yet. `documents` names the collection of the
    /// documents: the domain's plural; `facets` are what its lists can be
    /// filtered by.
    ///
    /// # Errors
    /// When the URI cannot be used.
    pub async fn new(
        settings: &Settings,
        documents: &str,
        facets: &'static [Facet],
    ) -> Result<Self, ConnectError> {
        let connection = Connection::new(settings, "presentation database").await?;
        let presentation = MongoPresentation::new(connection.clone(), documents, facets);
        Ok(Self {
            connection,
            presentation: Arc::new(presentation),
        })
    }

    /// Waits until the server is there, and makes what is missing: the replica
    /// set (if the settings say so) and the indexes. `false`: shutdown came first.
    pub async fn prepare(&self, shutdown: &Shutdown) -> bool {
        let make = async || self.presentation.make_indexes().await;
        self.connection.prepare(shutdown, make).await
    }

    /// The presentation, to be written.
    #[must_use]
    pub fn presentation(&self) -> Arc<dyn PresentationStore> {
        self.presentation.clone()
    }

    /// Where it is made anew.
    #[must_use]
    pub fn presentation_rebuilds(&self) -> Arc<dyn ShadowStores<dyn PresentationStore>> {
        Arc::new(MongoRebuilds(self.presentation.clone()))
    }

    /// The presentation, to be read.
    #[must_use]
    pub fn reader(&self) -> Arc<dyn PresentationReader> {
        self.presentation.clone()
    }

    /// The rows of read models, to be written.
    #[must_use]
    pub fn rows(&self) -> Arc<dyn RowStore> {
        Arc::new(read_models::MongoRows::new(self.connection.clone()))
    }

    /// The rows of read models, to be read.
    #[must_use]
    pub fn row_reader(&self) -> Arc<dyn RowReader> {
        Arc::new(read_models::MongoRows::new(self.connection.clone()))
    }

    /// The leases of stages that write here.
    #[must_use]
    pub fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(leases::MongoLeases(self.connection.clone()))
    }

    /// Readiness: whether it takes writes.
    #[must_use]
    pub fn probe(&self) -> Arc<dyn Probe> {
        Arc::new(SingleFlight::new(probe::MongoProbe(
            self.connection.clone(),
        )))
    }

    fn inspector_of(&self) -> Arc<MongoInspector> {
        Arc::new(MongoInspector {
            connection: self.connection.clone(),
            entities: self.presentation.documents().to_owned(),
        })
    }

    /// Documents of an audit.
    #[must_use]
    pub fn inspector(&self) -> Arc<dyn PresentationInspector> {
        self.inspector_of()
    }

    /// Rows of read models of an audit.
    #[must_use]
    pub fn row_inspector(&self) -> Arc<dyn RowInspector> {
        self.inspector_of()
    }
}
