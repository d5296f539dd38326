//! Backup of a store in use, and restore of a store from a backup.
//!
//! A backup is a consistent snapshot. A restored store continues as another log: later entries of
//! the original are missing, and new ones take their positions. It therefore gets a new epoch, so
//! that clients with a position of the original log are rejected.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bakehouse_engine::model::ids;
use bakehouse_engine::model::notification::NotificationStatus;
use bakehouse_engine::{Timestamp, private_files};
use rusqlite::{Connection, OpenFlags, params};

use crate::error::{DatabaseError, OpenError};
use crate::notifications::{RESTORED_AT, WITHHELD};
use crate::salvage::{self, is_damage};
use crate::{FILE_NAME, lock, schema};

/// Error of a backup or restore.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The target exists.
    #[error("{} already exists; nothing was written", .0.display())]
    InTheWay(PathBuf),
    /// The target folder is in use, or cannot be used.
    #[error(transparent)]
    InUse(OpenError),
    /// The source does not exist or is not a store.
    #[error("{} cannot be read as a store", .file.display())]
    Source {
        /// The database file.
        file: PathBuf,
        /// The cause.
        source: DatabaseError,
    },
    /// The target cannot be written.
    #[error("{} cannot be written", .file.display())]
    Target {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Complete and synced copy that still has a temporary file name.
#[derive(Debug)]
#[must_use = "the copy has a temporary name until it is kept"]
pub struct Copy {
    unfinished: PathBuf,
    to: PathBuf,
}

impl Copy {
    /// Gives the copy its final name and syncs the folder.
    ///
    /// # Errors
    /// [`BackupError::Target`] if the file cannot be renamed or the folder cannot be synced.
    pub fn keep(self) -> Result<(), BackupError> {
        let Self { unfinished, to } = self;
        fs::rename(&unfinished, &to).map_err(target_error(&to))?;
        sync(to.parent().unwrap_or(&to))
    }
}

/// Copies a consistent snapshot of the store in the folder `data` into the folder `into`, which is
/// created. The store may be in use meanwhile.
///
/// # Errors
/// [`BackupError`] if `into` has a store already, or a file cannot be read or written; then there
/// is no copy.
pub fn back_up(data: &Path, into: &Path) -> Result<Copy, BackupError> {
    let to = into.join(FILE_NAME);
    if to.exists() {
        return Err(BackupError::InTheWay(to));
    }
    // This connection also reads the write-ahead log of a store in use.
    let connection = open(data)?;
    private_files::create_dir_all(into).map_err(target_error(into))?;
    let unfinished = into.join(format!("{FILE_NAME}.unfinished"));
    let _ = fs::remove_file(&unfinished);
    // `VACUUM INTO` accepts an empty file and keeps its permissions.
    private_files::open(&unfinished).map_err(target_error(&unfinished))?;
    let quoted = unfinished.display().to_string().replace('\'', "''");
    let copy = format!("PRAGMA busy_timeout = 5000; VACUUM INTO '{quoted}'");
    let file = data.join(FILE_NAME);
    match connection.execute_batch(&copy) {
        Err(error) if is_damage(&error) => {
            let _ = fs::remove_file(&unfinished);
            private_files::open(&unfinished).map_err(target_error(&unfinished))?;
            salvage::copy(&file, &unfinished).map_err(|error| source_error(&file, error))?;
        }
        copied => copied.map_err(|error| source_error(&file, error))?,
    }
    sync(&unfinished)?;
    Ok(Copy { unfinished, to })
}

/// Treatment of the notifications that are pending in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// Does not send them, because the original store may have sent them since.
    Withhold,
    /// Sends them.
    Resume,
}

/// Creates a store in the folder `data` from the copy in the folder `from`.
///
/// # Errors
/// [`BackupError`] if `data` has a store already or is in use, or a file cannot be read or written;
/// then there is no store.
pub fn restore(from: &Path, data: &Path, pending: Pending) -> Result<(), BackupError> {
    check_restore_target(data)?;
    open(from)?;
    private_files::create_dir_all(data).map_err(target_error(data))?;
    let _lock = lock(data).map_err(BackupError::InUse)?;
    check_restore_target(data)?;
    let copy = back_up(from, data)?;
    start_new_log(&copy.unfinished, pending)
        .map_err(|error| source_error(&copy.unfinished, error))?;
    sync(&copy.unfinished)?;
    copy.keep()
}

/// Checks that the folder has no files of a store.
///
/// # Errors
/// [`BackupError::InTheWay`] if it has a database file, or a log or journal that SQLite would take
/// for a part of the new one.
pub fn check_restore_target(data: &Path) -> Result<(), BackupError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let file = data.join(format!("{FILE_NAME}{suffix}"));
        if file.exists() {
            return Err(BackupError::InTheWay(file));
        }
    }
    Ok(())
}

/// Opens the store of a folder, and checks that its tables can be upgraded.
fn open(folder: &Path) -> Result<Connection, BackupError> {
    let file = folder.join(FILE_NAME);
    let opened = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let connection = opened.map_err(|error| source_error(&file, error))?;
    schema::check_upgradable(&connection).map_err(|error| source_error(&file, error))?;
    Ok(connection)
}

/// Replaces the log's epoch wherever it is stored, and treats the pending notifications.
fn start_new_log(file: &Path, pending: Pending) -> rusqlite::Result<()> {
    let mut connection = Connection::open(file)?;
    // Without a write-ahead log the copy is a single file.
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    let transaction = connection.transaction()?;
    let own = "SELECT epoch FROM checkpoints WHERE name = 'orders-manager'";
    let old: String = transaction.query_row(own, [], |row| row.get(0))?;
    let new = ids::fresh().to_string();
    let all = "SELECT name FROM sqlite_master WHERE name IN ('checkpoints', 'followed')";
    let tables: Vec<String> = transaction
        .prepare(all)?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for table in tables {
        let update = format!("UPDATE {table} SET epoch = ?2 WHERE epoch = ?1");
        transaction.execute(&update, [&old, &new])?;
    }
    let delete = "DELETE FROM checkpoints WHERE name = ?1";
    transaction.execute(delete, [RESTORED_AT])?;
    if pending == Pending::Withhold {
        withhold(&transaction)?;
    }
    transaction.commit()
}

/// Withholds the notifications of all operations that were accepted before now.
fn withhold(connection: &Connection) -> rusqlite::Result<()> {
    let now = Timestamp::now().millis();
    let insert = "INSERT INTO checkpoints (name, position, entities, epoch) VALUES (?1, ?2, 0, '')";
    connection.execute(insert, params![RESTORED_AT, now])?;
    let exists = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'notifications')";
    if !connection.query_row(exists, [], |row| row.get(0))? {
        return Ok(());
    }
    let update = "UPDATE notifications SET status = ?1, ended_at = ?2, due_at = NULL, reason = ?3 \
                  WHERE due_at IS NOT NULL";
    let status = NotificationStatus::NotSent.as_str();
    connection.execute(update, params![status, now, WITHHELD])?;
    Ok(())
}

fn sync(file: &Path) -> Result<(), BackupError> {
    let synced = File::open(file).and_then(|file| file.sync_all());
    synced.map_err(target_error(file))
}

fn source_error(file: &Path, source: impl Into<DatabaseError>) -> BackupError {
    BackupError::Source {
        file: file.to_owned(),
        source: source.into(),
    }
}

fn target_error(file: &Path) -> impl Fn(io::Error) -> BackupError {
    let file = file.to_owned();
    move |source| BackupError::Target {
        file: file.clone(),
        source,
    }
}
