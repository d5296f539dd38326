//! A copy of the store while it is at work, and a store made of such a copy.
//!
//! A copy is of one moment. A store that is made of it is another log from there on: what
//! came after that moment is gone, and other events will have its positions. So it gets an
//! epoch of its own, and whoever knows a position of the old one is told.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bakehouse_pipeline::ids;
use rusqlite::{Connection, OpenFlags};

use crate::{FILE_NAME, schema};

/// Why there is no copy, or no store made of one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something is in the way.
    #[error("{} is there already; nothing was written", .0.display())]
    InTheWay(PathBuf),
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

/// Copies the store in the folder `data` into the folder `into`, which is made; on disk
/// when this returns. The store may be at work meanwhile.
///
/// # Errors
/// [`BackupError`]; then there is no copy.
pub fn back_up(data: &Path, into: &Path) -> Result<(), BackupError> {
    let (from, to) = (data.join(FILE_NAME), into.join(FILE_NAME));
    if to.exists() {
        return Err(BackupError::InTheWay(to));
    }
    let at_source = |source| BackupError::Source {
        file: from.clone(),
        source,
    };
    let connection = Connection::open_with_flags(&from, OpenFlags::SQLITE_OPEN_READ_WRITE);
    let connection = connection.map_err(at_source)?;
    schema::look(&connection).map_err(at_source)?;
    fs::create_dir_all(into).map_err(at(into))?;
    // Written beside it, so that a copy that was begun and not finished is none.
    let unfinished = into.join(format!("{FILE_NAME}.unfinished"));
    let _ = fs::remove_file(&unfinished);
    let copy = format!(
        "PRAGMA query_only = OFF; VACUUM INTO '{}'",
        unfinished.display().to_string().replace('\'', "''")
    );
    connection.execute_batch(&copy).map_err(at_source)?;
    finish(&unfinished, &to)
}

/// Makes a store in the folder `data` of the copy in the folder `from`.
///
/// # Errors
/// [`BackupError`]; then there is no store.
pub fn restore(from: &Path, data: &Path) -> Result<(), BackupError> {
    let (copy, to) = (from.join(FILE_NAME), data.join(FILE_NAME));
    if to.exists() {
        return Err(BackupError::InTheWay(to));
    }
    let at_source = |source| BackupError::Source {
        file: copy.clone(),
        source,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(&copy, flags).map_err(at_source)?;
    schema::look(&connection).map_err(at_source)?;
    drop(connection);
    fs::create_dir_all(data).map_err(at(data))?;
    let unfinished = data.join(format!("{FILE_NAME}.unfinished"));
    fs::copy(&copy, &unfinished).map_err(at(&unfinished))?;
    begin_anew(&unfinished).map_err(at_source)?;
    finish(&unfinished, &to)
}

/// Another epoch, wherever the log's own is noted.
fn begin_anew(file: &Path) -> rusqlite::Result<()> {
    let mut connection = Connection::open(file)?;
    // One file, and nothing beside it.
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    let transaction = connection.transaction()?;
    let own = "SELECT epoch FROM checkpoints WHERE name = 'orders-manager'";
    let old: String = transaction.query_row(own, [], |row| row.get(0))?;
    let new = ids::fresh().to_string();
    for table in ["checkpoints", "followed"] {
        let update = format!("UPDATE {table} SET epoch = ?2 WHERE epoch = ?1");
        transaction.execute(&update, [&old, &new])?;
    }
    transaction.commit()
}

/// It is what it is called once it is whole and on disk.
fn finish(unfinished: &Path, to: &Path) -> Result<(), BackupError> {
    let file = File::open(unfinished).map_err(at(unfinished))?;
    file.sync_all().map_err(at(unfinished))?;
    fs::rename(unfinished, to).map_err(at(to))?;
    let folder = to.parent().unwrap_or(to);
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(at(folder))
}

fn at(file: &Path) -> impl Fn(io::Error) -> BackupError {
    let file = file.to_owned();
    move |source| BackupError::Target {
        file: file.clone(),
        source,
    }
}
