//! MongoDB implementation of the stores: log, source state, presentation, notifications, rows
//! and leases.
//!
//! Every write waits for the majority and the journal, and can be repeated. It is either an
//! ordered insert under a unique index (the log), or a transaction whose first statement moves a
//! checkpoint from its expected position (`transaction`). All reads are causally consistent
//! majority reads (`reads`).

mod checkpoints;
mod connection;
mod convert;
mod error;
mod event_log;
mod event_rows;
mod horizon;
mod inspect;
mod leases;
mod list;
mod notifications;
mod presentation;
mod probe;
mod read_models;
mod reads;
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

/// Source database, with the collections `events`, `orders`, `snapshots`, `notifications`,
/// `checkpoints`, `leases` and `meta`.
pub struct SourceDatabase {
    connection: Connection,
    source: Arc<MongoSource>,
}

impl SourceDatabase {
    /// Creates a handle without contacting the server. `entities` is the name of the collection of
    /// the source state: the domain's plural.
    ///
    /// # Errors
    /// [`ConnectError`] if the URI is invalid.
    pub async fn new(settings: &Settings, entities: &str) -> Result<Self, ConnectError> {
        let connection = Connection::new(settings, "source database").await?;
        let source = Arc::new(MongoSource::new(connection.clone(), entities));
        Ok(Self { connection, source })
    }

    /// Waits until the server answers, then creates what is missing: the replica set (if the
    /// settings say so) and the indexes. Returns `false` if shutdown began first.
    pub async fn prepare(&self, shutdown: &Shutdown) -> bool {
        let log = event_log::MongoLog::new(self.connection.clone());
        let notifications = notifications::MongoNotifications::new(self.connection.clone());
        let create_indexes = async || {
            log.create_indexes().await?;
            self.source.create_indexes().await?;
            notifications.create_indexes().await
        };
        self.connection.prepare(shutdown, create_indexes).await
    }

    /// Returns the log.
    #[must_use]
    pub fn log(&self) -> Arc<dyn EventLog> {
        Arc::new(event_log::MongoLog::new(self.connection.clone()))
    }

    /// Returns the store of the source state.
    #[must_use]
    pub fn source(&self) -> Arc<dyn SourceStore> {
        self.source.clone()
    }

    /// Returns the shadow stores in which the source state is rebuilt.
    #[must_use]
    pub fn source_rebuilds(&self) -> Arc<dyn ShadowStores<dyn SourceStore>> {
        Arc::new(MongoRebuilds(self.source.clone()))
    }

    /// Returns the store of notifications.
    #[must_use]
    pub fn notifications(&self) -> Arc<dyn Notifications> {
        Arc::new(notifications::MongoNotifications::new(
            self.connection.clone(),
        ))
    }

    /// Returns the store of the process managers' state.
    #[must_use]
    pub fn rows(&self) -> Arc<dyn RowStore> {
        Arc::new(read_models::MongoRows::new(self.connection.clone()))
    }

    /// Returns the leases of the stages that write to this database.
    #[must_use]
    pub fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(leases::MongoLeases(self.connection.clone()))
    }

    /// Returns the readiness probe, which checks whether the database accepts writes.
    #[must_use]
    pub fn probe(&self) -> Arc<dyn Probe> {
        Arc::new(SingleFlight::new(probe::MongoProbe(
            self.connection.clone(),
        )))
    }

    fn mongo_inspector(&self) -> Arc<MongoInspector> {
        Arc::new(MongoInspector {
            connection: self.connection.clone(),
            entities: self.source.entities().to_owned(),
        })
    }

    /// Returns the reads that an audit of the source state needs.
    #[must_use]
    pub fn inspector(&self) -> Arc<dyn SourceInspector> {
        self.mongo_inspector()
    }

    /// Returns the check of the indexes that the log relies on.
    #[must_use]
    pub fn integrity(&self) -> Arc<dyn Integrity> {
        self.mongo_inspector()
    }
}

/// Presentation database, with the collections `orders`, `feed`, `checkpoints` and `leases`.
pub struct PresentationDatabase {
    connection: Connection,
    presentation: Arc<MongoPresentation>,
}

impl PresentationDatabase {
    /// Creates a handle without contacting the server. `documents` is the name of the collection of
    /// the documents: the domain's plural. `facets` are the members by which lists can be filtered.
    ///
    /// # Errors
    /// [`ConnectError`] if the URI is invalid.
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

    /// Waits until the server answers, then creates what is missing: the replica set (if the
    /// settings say so) and the indexes. Returns `false` if shutdown began first.
    pub async fn prepare(&self, shutdown: &Shutdown) -> bool {
        let create_indexes = async || self.presentation.create_indexes().await;
        self.connection.prepare(shutdown, create_indexes).await
    }

    /// Returns the write side of the presentation.
    #[must_use]
    pub fn presentation(&self) -> Arc<dyn PresentationStore> {
        self.presentation.clone()
    }

    /// Returns the shadow stores in which the presentation is rebuilt.
    #[must_use]
    pub fn presentation_rebuilds(&self) -> Arc<dyn ShadowStores<dyn PresentationStore>> {
        Arc::new(MongoRebuilds(self.presentation.clone()))
    }

    /// Returns the read side of the presentation.
    #[must_use]
    pub fn reader(&self) -> Arc<dyn PresentationReader> {
        self.presentation.clone()
    }

    /// Returns the write side of the read models' rows.
    #[must_use]
    pub fn rows(&self) -> Arc<dyn RowStore> {
        Arc::new(read_models::MongoRows::new(self.connection.clone()))
    }

    /// Returns the read side of the read models' rows.
    #[must_use]
    pub fn row_reader(&self) -> Arc<dyn RowReader> {
        Arc::new(read_models::MongoRows::new(self.connection.clone()))
    }

    /// Returns the leases of the stages that write to this database.
    #[must_use]
    pub fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(leases::MongoLeases(self.connection.clone()))
    }

    /// Returns the readiness probe, which checks whether the database accepts writes.
    #[must_use]
    pub fn probe(&self) -> Arc<dyn Probe> {
        Arc::new(SingleFlight::new(probe::MongoProbe(
            self.connection.clone(),
        )))
    }

    fn mongo_inspector(&self) -> Arc<MongoInspector> {
        Arc::new(MongoInspector {
            connection: self.connection.clone(),
            entities: self.presentation.documents().to_owned(),
        })
    }

    /// Returns the reads that an audit of the documents needs.
    #[must_use]
    pub fn inspector(&self) -> Arc<dyn PresentationInspector> {
        self.mongo_inspector()
    }

    /// Returns the reads that an audit of the read models' rows needs.
    #[must_use]
    pub fn row_inspector(&self) -> Arc<dyn RowInspector> {
        self.mongo_inspector()
    }
}
