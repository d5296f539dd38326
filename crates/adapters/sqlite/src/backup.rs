//! A copy of the store while it is at work, and a store made of such a copy.
//!
//! A copy is of one moment. A store that is made of it is another log from there on: what
//! came after that moment is gone, and other events will have its positions. So it gets an
//! epoch of its own, and whoever knows a position of the old one is told.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bakehouse_engine::model::ids;
use bakehouse_engine::model::notification::NotificationStatus;
use bakehouse_engine::{Timestamp, private_files};
use rusqlite::{Connection, OpenFlags, params};

use crate::notifications::{RESTORED_AT, WITHHELD};
use crate::salvage::{self, is_damage};
use crate::{FILE_NAME, OpenError, lock, schema};

/// Why there is no copy, or no store made of one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something is in the way.
    #[error("{} is there already; nothing was written", .0.display())]
    InTheWay(PathBuf),
    /// Somebody is at work where a store is to be made.
    #[error(transparent)]
    InUse(OpenError),
    /// What it is made of is not there, or no store of ours.
    #[error("{} cannot be read as a store", .file.display())]
    Source {
        /// The database file.
        file: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// It cannot be written.
    #[error("{} cannot be written", .file.display())]
    Target {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A copy that is whole and on disk, and not yet called what a store is called.
#[derive(Debug)]
#[must_use = "it is no copy before it is kept"]
pub struct Copy {
    unfinished: PathBuf,
    to: PathBuf,
}

impl Copy {
    /// From now on it is a copy.
    ///
    /// # Errors
    /// [`BackupError::Target`].
    pub fn keep(self) -> Result<(), BackupError> {
        let Self { unfinished, to } = self;
        fs::rename(&unfinished, &to).map_err(at(&to))?;
        sync(to.parent().unwrap_or(&to))
    }
}

/// Copies the store in the folder `data`, as it is at one moment, into the folder `into`,
/// which is made. The store may be at work meanwhile.
///
/// # Errors
/// [`BackupError`]; then there is no copy.
pub fn back_up(data: &Path, into: &Path) -> Result<Copy, BackupError> {
    let to = into.join(FILE_NAME);
    if to.exists() {
        return Err(BackupError::InTheWay(to));
    }
    // With what stands in its log beside it, whoever is at work.
    let connection = open(data)?;
    private_files::make_folder(into).map_err(at(into))?;
    let unfinished = into.join(format!("{FILE_NAME}.unfinished"));
    let _ = fs::remove_file(&unfinished);
    // An empty file is taken, with its permissions.
    private_files::open(&unfinished).map_err(at(&unfinished))?;
    let quoted = unfinished.display().to_string().replace('\'', "''");
    let copy = format!("PRAGMA busy_timeout = 5000; VACUUM INTO '{quoted}'");
    let file = data.join(FILE_NAME);
    match connection.execute_batch(&copy) {
        Err(error) if is_damage(&error) => {
            let _ = fs::remove_file(&unfinished);
            private_files::open(&unfinished).map_err(at(&unfinished))?;
            salvage::copy(&file, &unfinished).map_err(at_source(&file))?;
        }
        copied => copied.map_err(at_source(&file))?,
    }
    sync(&unfinished)?;
    Ok(Copy { unfinished, to })
}

/// Treatment of notifications that are pending in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// They are not sent: the store that the copy is of may have sent them since.
    Withhold,
    /// They are sent.
    Resume,
}

/// Makes a store in the folder `data` of the copy in the folder `from`.
///
/// # Errors
/// [`BackupError`]; then there is no store.
pub fn restore(from: &Path, data: &Path, pending: Pending) -> Result<(), BackupError> {
    may_restore(data)?;
    open(from)?;
    private_files::make_folder(data).map_err(at(data))?;
    let _lock = lock(data).map_err(BackupError::InUse)?;
    may_restore(data)?;
    let copy = back_up(from, data)?;
    begin_anew(&copy.unfinished, pending).map_err(at_source(&copy.unfinished))?;
    sync(&copy.unfinished)?;
    copy.keep()
}

/// Whether there is nothing in the folder that a store would be made of.
///
/// # Errors
/// [`BackupError::InTheWay`]: the store itself, or what one has left beside it, which would
/// be taken for a part of the new one.
pub fn may_restore(data: &Path) -> Result<(), BackupError> {
    for left in ["", "-wal", "-shm", "-journal"] {
        let file = data.join(format!("{FILE_NAME}{left}"));
        if file.exists() {
            return Err(BackupError::InTheWay(file));
        }
    }
    Ok(())
}

/// The store of a folder, of a version that is known.
fn open(folder: &Path) -> Result<Connection, BackupError> {
    let file = folder.join(FILE_NAME);
    let opened = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let connection = opened.map_err(at_source(&file))?;
    schema::known(&connection).map_err(at_source(&file))?;
    Ok(connection)
}

/// Another epoch, wherever the log's own is noted; and what becomes of pending notifications.
fn begin_anew(file: &Path, pending: Pending) -> rusqlite::Result<()> {
    let mut connection = Connection::open(file)?;
    // One file, and nothing beside it.
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
    let forget = "DELETE FROM checkpoints WHERE name = ?1";
    transaction.execute(forget, [RESTORED_AT])?;
    if pending == Pending::Withhold {
        withhold(&transaction)?;
    }
    transaction.commit()
}

/// Nothing that was accepted before now is notified of.
fn withhold(connection: &Connection) -> rusqlite::Result<()> {
    let now = Timestamp::now().millis();
    let note = "INSERT INTO checkpoints (name, position, entities, epoch) VALUES (?1, ?2, 0, '')";
    connection.execute(note, params![RESTORED_AT, now])?;
    let all = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'notifications')";
    if !connection.query_row(all, [], |row| row.get(0))? {
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
    synced.map_err(at(file))
}

fn at_source(file: &Path) -> impl Fn(rusqlite::Error) -> BackupError {
    let file = file.to_owned();
    move |source| BackupError::Source {
        file: file.clone(),
        source,
    }
}

fn at(file: &Path) -> impl Fn(io::Error) -> BackupError {
    let file = file.to_owned();
    move |source| BackupError::Target {
        file: file.clone(),
        source,
    }
}
