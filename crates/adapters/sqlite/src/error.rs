//! Errors of the adapter, and the outcome type of its statements.

use std::io;
use std::path::PathBuf;

use bakehouse_engine::ports::StoreError;

/// Error of opening a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the store open.
    #[error("the data folder {} is in use by another process", .folder.display())]
    InUse {
        /// The data folder.
        folder: PathBuf,
    },
    /// The folder cannot be created or written.
    #[error("the data folder {} cannot be used", .folder.display())]
    Folder {
        /// The data folder.
        folder: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The database file cannot be opened as a store.
    #[error("the database {} cannot be opened", .file.display())]
    Database {
        /// The database file.
        file: PathBuf,
        /// The cause.
        source: DatabaseError,
    },
}

/// Error of preparing a database file as a store.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// SQLite cannot open, read or write the file.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A newer version of this program has written the tables.
    #[error(
        "the store was written by a newer version of this program (tables version {found}, this \
         program knows up to {known}); use that version of the program"
    )]
    Newer {
        /// Version of the tables.
        found: i64,
        /// Latest version that this program knows.
        known: i64,
    },
    /// An older version of this program has written the tables, and they may only be read.
    #[error(
        "the store was written by an older version of this program (tables version {found}, this \
         program reads version {known}); start the server once to upgrade it"
    )]
    Older {
        /// Version of the tables.
        found: i64,
        /// Version that this program reads.
        known: i64,
    },
    /// The file has no tables of a released version.
    #[error("not a store of this program: the file has no known tables (tables version {found})")]
    NoStore {
        /// Version that the file names; 0 in a file without tables.
        found: i64,
    },
    /// The writer thread cannot be started.
    #[error("the writer thread cannot be started")]
    Thread(#[source] io::Error),
}

/// Error of the body of a job or query.
pub(crate) enum Failure {
    /// Error that SQLite returned.
    Sqlite(rusqlite::Error),
    /// Error that the adapter returned.
    Store(StoreError),
}

/// Result of the body of a job or query.
pub(crate) type Outcome<T> = Result<T, Failure>;

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Sqlite(error) => Self::Sqlite(error),
            other => Self::Store(StoreError::unavailable(format!("embedded store: {other}"))),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sqlite(error) => Self::unavailable(format!("embedded store: {error}")),
            Failure::Store(error) => error,
        }
    }
}
