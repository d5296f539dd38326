//! Implementation of all store ports in one SQLite file: log, source state, presentation,
//! notifications, read models, schedule queue and leases.
//!
//! All writes of all stages go through one writer thread, which commits the queued jobs in one
//! synced transaction (`database`), so stages share the cost of a sync.

mod backup;
mod checkpoints;
mod database;
mod error;
mod event_log;
mod inspect;
mod leases;
mod list;
mod notifications;
mod presentation;
mod probe;
mod read_models;
mod rebuilds;
mod rows;
mod salvage;
mod schedule;
mod schema;
mod shadow;
mod source;
mod summaries;
mod unit_of_work;

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use backup::{BackupError, Copy, Pending, back_up, check_restore_target, restore};
use bakehouse_engine::ports::{
    Backlog, EventLog, Integrity, Leases, Notifications, PresentationInspector, PresentationReader,
    PresentationStore, Probe, RowInspector, RowReader, RowStore, ScheduleConsumer, Scheduler,
    ShadowStores, SourceInspector, SourceStore, StoreError,
};
use bakehouse_engine::probe::SingleFlight;
use bakehouse_engine::{Facet, Shutdown, private_files};
use database::Database;
pub use error::{DatabaseError, OpenError};

/// Name of the database file in the data folder.
pub const FILE_NAME: &str = "bakehouse.db";

/// Open store in a SQLite file or in memory; clones share it.
#[derive(Clone)]
pub struct SqliteStore {
    database: Arc<Database>,
    arrivals: Arc<schedule::ArrivalSignal>,
    /// Lock of the data folder, held while the store is open.
    #[allow(dead_code, reason = "it is released by being dropped")]
    lock: Option<Arc<File>>,
}

impl SqliteStore {
    /// Opens the store in `folder`, creating both if they do not exist. `facets` are the
    /// filters of the domain's lists; each gets an index.
    ///
    /// # Errors
    /// [`OpenError::InUse`] if another process has the store open; [`OpenError::Folder`] or
    /// [`OpenError::Database`] if the folder or the file cannot be used.
    pub fn open(folder: &Path, facets: &[Facet]) -> Result<Self, OpenError> {
        private_files::create_dir_all(folder).map_err(folder_error(folder))?;
        let lock = lock(folder)?;
        let file = folder.join(FILE_NAME);
        // SQLite creates its `-wal` and `-shm` files with the permissions of this one.
        private_files::open(&file).map_err(folder_error(folder))?;
        let database =
            Database::open(&file, facets).map_err(|source| OpenError::Database { file, source })?;
        Ok(Self {
            database: Arc::new(database),
            arrivals: Arc::default(),
            lock: Some(Arc::new(lock)),
        })
    }

    /// Opens the store in `folder` read-only; another process may be using it. Every write fails.
    ///
    /// # Errors
    /// [`OpenError::Database`] if there is no store, or its tables have another version.
    pub fn inspect(folder: &Path) -> Result<Self, OpenError> {
        let file = folder.join(FILE_NAME);
        let database =
            Database::inspect(&file).map_err(|source| OpenError::Database { file, source })?;
        Ok(Self {
            database: Arc::new(database),
            arrivals: Arc::default(),
            lock: None,
        })
    }

    /// Creates a store in memory, whose content is lost when it is closed.
    ///
    /// # Errors
    /// [`OpenError::Database`] if SQLite cannot create it.
    pub fn in_memory(facets: &[Facet]) -> Result<Self, OpenError> {
        let database = Database::in_memory(facets).map_err(|source| OpenError::Database {
            file: ":memory:".into(),
            source,
        })?;
        Ok(Self {
            database: Arc::new(database),
            arrivals: Arc::default(),
            lock: None,
        })
    }

    /// Returns the sending end of the schedule queue, used by api-server.
    #[must_use]
    pub fn scheduler(&self) -> Arc<dyn Scheduler> {
        Arc::new(schedule::SqliteScheduler::new(
            self.database.clone(),
            self.arrivals.clone(),
        ))
    }

    /// Returns the receiving end of the schedule queue, used by events-writer.
    #[must_use]
    pub fn consumer(&self) -> Box<dyn ScheduleConsumer> {
        Box::new(schedule::SqliteConsumer::new(
            self.database.clone(),
            self.arrivals.clone(),
        ))
    }

    /// Returns the log.
    #[must_use]
    pub fn log(&self) -> Arc<dyn EventLog> {
        Arc::new(event_log::SqliteLog(self.database.clone()))
    }

    /// Returns the source state.
    #[must_use]
    pub fn source(&self) -> Arc<dyn SourceStore> {
        Arc::new(source::SqliteSource::new(self.database.clone()))
    }

    /// Returns the writing side of the presentation.
    #[must_use]
    pub fn presentation(&self) -> Arc<dyn PresentationStore> {
        Arc::new(presentation::SqlitePresentation::new(self.database.clone()))
    }

    /// Returns the reading side of the presentation.
    #[must_use]
    pub fn reader(&self) -> Arc<dyn PresentationReader> {
        Arc::new(presentation::SqlitePresentation::new(self.database.clone()))
    }

    /// Returns the rebuilds of the source state.
    #[must_use]
    pub fn source_rebuilds(&self) -> Arc<dyn ShadowStores<dyn SourceStore>> {
        Arc::new(rebuilds::source(self.database.clone()))
    }

    /// Returns the rebuilds of the presentation.
    #[must_use]
    pub fn presentation_rebuilds(&self) -> Arc<dyn ShadowStores<dyn PresentationStore>> {
        Arc::new(rebuilds::presentation(self.database.clone()))
    }

    /// Returns the recorded notifications.
    #[must_use]
    pub fn notifications(&self) -> Arc<dyn Notifications> {
        Arc::new(notifications::SqliteNotifications(self.database.clone()))
    }

    /// Returns the writing side of the rows of read models and process managers.
    #[must_use]
    pub fn rows(&self) -> Arc<dyn RowStore> {
        Arc::new(read_models::SqliteRows(self.database.clone()))
    }

    /// Returns the reading side of the rows of read models.
    #[must_use]
    pub fn row_reader(&self) -> Arc<dyn RowReader> {
        Arc::new(read_models::SqliteRows(self.database.clone()))
    }

    /// Returns the leases.
    #[must_use]
    pub fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(leases::SqliteLeases(self.database.clone()))
    }

    /// Returns the source state as an audit reads it.
    #[must_use]
    pub fn source_inspector(&self) -> Arc<dyn SourceInspector> {
        Arc::new(inspect::SqliteInspector(self.database.clone()))
    }

    /// Returns the presentation as an audit reads it.
    #[must_use]
    pub fn presentation_inspector(&self) -> Arc<dyn PresentationInspector> {
        Arc::new(inspect::SqliteInspector(self.database.clone()))
    }

    /// Returns the rows of read models as an audit reads them.
    #[must_use]
    pub fn row_inspector(&self) -> Arc<dyn RowInspector> {
        Arc::new(inspect::SqliteInspector(self.database.clone()))
    }

    /// Returns the backlog: accepted operations that are not in the log yet.
    #[must_use]
    pub fn backlog(&self) -> Arc<dyn Backlog> {
        Arc::new(inspect::SqliteInspector(self.database.clone()))
    }

    /// Returns the integrity check of the database file.
    #[must_use]
    pub fn integrity(&self) -> Arc<dyn Integrity> {
        Arc::new(inspect::SqliteInspector(self.database.clone()))
    }

    /// Checks the file for damaged pages, at most once per `interval`, until shutdown; the probe
    /// reports what it finds.
    pub fn watch(
        &self,
        interval: Duration,
        shutdown: Shutdown,
    ) -> impl Future<Output = ()> + use<> {
        probe::watch(self.database.clone(), interval, shutdown)
    }

    /// Completes when the writer thread panics, after which every write fails; pending otherwise.
    pub fn failure(&self) -> impl Future<Output = StoreError> + Send + use<> {
        self.database.failure()
    }

    /// Returns the readiness probe: the file exists, is undamaged and can be written.
    #[must_use]
    pub fn probe(&self) -> Arc<dyn Probe> {
        Arc::new(SingleFlight::new(probe::SqliteProbe::new(
            self.database.clone(),
        )))
    }
}

/// Locks the folder for this process; dropping the returned file releases the lock.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let lock = private_files::open(&folder.join("lock")).map_err(folder_error(folder))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse {
            folder: folder.to_owned(),
        },
        TryLockError::Error(error) => folder_error(folder)(error),
    })?;
    Ok(lock)
}

fn folder_error(folder: &Path) -> impl Fn(io::Error) -> OpenError {
    let folder = folder.to_owned();
    move |source| OpenError::Folder {
        folder: folder.clone(),
        source,
    }
}
