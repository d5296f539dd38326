//! Every store's door in one SQLite file: the log, the source state, the
//! presentation, the schedule queue and the leases.
//!
//! All writes of all stages go through one thread that commits whatever has
//! gathered in one synced transaction (`database`), so that stages share the
//! cost of the disk instead of queueing for it.

mod backup;
mod checkpoints;
mod database;
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
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use backup::{BackupError, Copy, Pending, back_up, may_restore, restore};
use bakehouse_engine::ports::{
    Backlog, EventLog, Integrity, Leases, Notifications, PresentationInspector, PresentationReader,
    PresentationStore, Probe, RowInspector, RowReader, RowStore, ScheduleConsumer, Scheduler,
    ShadowStores, SourceInspector, SourceStore, StoreError,
};
use bakehouse_engine::probe::SingleFlight;
use bakehouse_engine::{Facet, Shutdown, private_files};
use database::Database;

/// Name of the database file within the data folder.
pub const FILE_NAME: &str = "bakehouse.db";

/// An open embedded store; clones share it.
#[derive(Clone)]
pub struct SqliteStore {
    database: Arc<Database>,
    queue: Arc<schedule::Arrivals>,
    /// Held as long as the store is open.
    #[allow(dead_code, reason = "it is released by being dropped")]
    lock: Option<Arc<File>>,
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("the data folder {} is in use by another process", .folder.display())]
    InUse {
        /// The data folder.
        folder: PathBuf,
    },
    /// The folder cannot be made or written.
    #[error("the data folder {} cannot be used", .folder.display())]
    Folder {
        /// The data folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no database of ours.
    #[error("the database {} cannot be opened", .file.display())]
    Database {
        /// The database file.
        file: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

impl SqliteStore {
    /// Opens the store in `folder`, and makes both where they do not exist.
    /// `facets` are what the domain's lists can be filtered by.
    ///
    /// # Errors
    /// [`OpenError`]; two processes cannot have one store open.
    pub fn open(folder: &Path, facets: &[Facet]) -> Result<Self, OpenError> {
        private_files::make_folder(folder).map_err(at(folder))?;
        let lock = lock(folder)?;
        let file = folder.join(FILE_NAME);
        // SQLite gives the files beside it the same permissions.
        private_files::open(&file).map_err(at(folder))?;
        let database =
            Database::open(&file, facets).map_err(|source| OpenError::Database { file, source })?;
        Ok(Self {
            database: Arc::new(database),
            queue: Arc::default(),
            lock: Some(Arc::new(lock)),
        })
    }

    /// Opens the store in `folder` to be looked at, beside whoever works on it: every
    /// write fails.
    ///
    /// # Errors
    /// [`OpenError::Database`] when there is none, or one of another version.
    pub fn inspect(folder: &Path) -> Result<Self, OpenError> {
        let file = folder.join(FILE_NAME);
        let database =
            Database::inspect(&file).map_err(|source| OpenError::Database { file, source })?;
        Ok(Self {
            database: Arc::new(database),
            queue: Arc::default(),
            lock: None,
        })
    }

    /// A store that is forgotten when it is closed, in nobody's way.
    ///
    /// # Errors
    /// [`OpenError::Database`] when there is not even memory for that.
    pub fn in_memory(facets: &[Facet]) -> Result<Self, OpenError> {
        let database = Database::in_memory(facets).map_err(|source| OpenError::Database {
            file: ":memory:".into(),
            source,
        })?;
        Ok(Self {
            database: Arc::new(database),
            queue: Arc::default(),
            lock: None,
        })
    }

    /// api-server's end of the schedule queue.
    #[must_use]
    pub fn scheduler(&self) -> Arc<dyn Scheduler> {
        Arc::new(schedule::SqliteScheduler::new(
            self.database.clone(),
            self.queue.clone(),
        ))
    }

    /// events-writer's end of the schedule queue.
    #[must_use]
    pub fn consumer(&self) -> Box<dyn ScheduleConsumer> {
        Box::new(schedule::SqliteConsumer::new(
            self.database.clone(),
            self.queue.clone(),
        ))
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> Arc<dyn EventLog> {
        Arc::new(event_log::SqliteLog(self.database.clone()))
    }

    /// The source state.
    #[must_use]
    pub fn source(&self) -> Arc<dyn SourceStore> {
        Arc::new(source::SqliteSource::new(self.database.clone()))
    }

    /// The presentation, to be written.
    #[must_use]
    pub fn presentation(&self) -> Arc<dyn PresentationStore> {
        Arc::new(presentation::SqlitePresentation::new(self.database.clone()))
    }

    /// The presentation, to be read.
    #[must_use]
    pub fn reader(&self) -> Arc<dyn PresentationReader> {
        Arc::new(presentation::SqlitePresentation::new(self.database.clone()))
    }

    /// Where the source state is made anew.
    #[must_use]
    pub fn source_rebuilds(&self) -> Arc<dyn ShadowStores<dyn SourceStore>> {
        Arc::new(rebuilds::of_source(self.database.clone()))
    }

    /// Where the presentation is.
    #[must_use]
    pub fn presentation_rebuilds(&self) -> Arc<dyn ShadowStores<dyn PresentationStore>> {
        Arc::new(rebuilds::of_presentation(self.database.clone()))
    }

    /// The record of notifications.
    #[must_use]
    pub fn notifications(&self) -> Arc<dyn Notifications> {
        Arc::new(notifications::SqliteNotifications(self.database.clone()))
    }

    /// The rows of read models and process managers, to be written.
    #[must_use]
    pub fn rows(&self) -> Arc<dyn RowStore> {
        Arc::new(read_models::SqliteRows(self.database.clone()))
    }

    /// The rows of read models, to be read.
    #[must_use]
    pub fn row_reader(&self) -> Arc<dyn RowReader> {
        Arc::new(read_models::SqliteRows(self.database.clone()))
    }

    /// The leases.
    #[must_use]
    pub fn leases(&self) -> Arc<dyn Leases> {
        Arc::new(leases::SqliteLeases(self.database.clone()))
    }

    /// Source state of an audit.
    #[must_use]
    pub fn source_inspector(&self) -> Arc<dyn SourceInspector> {
        Arc::new(inspect::SqliteInspector(self.database.clone()))
    }

    /// Presentation of an audit.
    #[must_use]
    pub fn presentation_inspector(&self) -> Arc<dyn PresentationInspector> {
        Arc::new(inspect::SqliteInspector(self.database.clone()))
    }

    /// Rows of an audit.
    #[must_use]
    pub fn row_inspector(&self) -> Arc<dyn RowInspector> {
        Arc::new(inspect::SqliteInspector(self.database.clone()))
    }

    /// Accepted operations that are not in the log yet.
    #[must_use]
    pub fn backlog(&self) -> Arc<dyn Backlog> {
        Arc::new(inspect::SqliteInspector(self.database.clone()))
    }

    /// Integrity of the store's file.
    #[must_use]
    pub fn integrity(&self) -> Arc<dyn Integrity> {
        Arc::new(inspect::SqliteInspector(self.database.clone()))
    }

    /// Looks for damaged pages of the file from now on, at most once an `interval`, so that
    /// the probe knows of them; until shutdown.
    pub fn watch(
        &self,
        interval: Duration,
        shutdown: Shutdown,
    ) -> impl Future<Output = ()> + use<> {
        probe::watch(self.database.clone(), interval, shutdown)
    }

    /// Waits until nothing can be written any more, because the writing thread has panicked;
    /// otherwise for ever.
    pub fn failure(&self) -> impl Future<Output = StoreError> + Send + use<> {
        self.database.failure()
    }

    /// Readiness of the store: its file is there, sound, and can be written.
    #[must_use]
    pub fn probe(&self) -> Arc<dyn Probe> {
        Arc::new(SingleFlight::new(probe::SqliteProbe::new(
            self.database.clone(),
        )))
    }
}

/// The folder is this process's alone, as long as what is returned is held.
fn lock(folder: &Path) -> Result<File, OpenError> {
    let lock = private_files::open(&folder.join("lock")).map_err(at(folder))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse {
            folder: folder.to_owned(),
        },
        TryLockError::Error(error) => at(folder)(error),
    })?;
    Ok(lock)
}

fn at(folder: &Path) -> impl Fn(io::Error) -> OpenError {
    let folder = folder.to_owned();
    move |source| OpenError::Folder {
        folder: folder.clone(),
        source,
    }
}
