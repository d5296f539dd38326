//! Readiness of the embedded store: its file is there, sound, and can be written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bakehouse_engine::Shutdown;
use bakehouse_engine::ports::Probe;

use crate::database::Database;
use crate::inspect::quick_damages;

/// Bytes that must find room on the disk: about as many as the largest request takes.
const ROOM: usize = 64 * 1024;
/// Name of the file that they are written to.
const FILE: &str = "readiness.tmp";
/// Share of one core that checking the file takes at most, as a divisor.
const CHECK_PAUSE_FACTOR: u32 = 50;
/// Bytes of a file that is not checked while it is at work: reading all of it takes too long.
const MAX_CHECKED: u64 = 1 << 30;

pub(crate) struct SqliteProbe {
    database: Arc<Database>,
    /// Device and inode of the file as it was opened.
    identity: Option<(u64, u64)>,
}

impl SqliteProbe {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        let identity = database.file().and_then(|file| identity(file).ok());
        Self { database, identity }
    }

    /// Tells whether the files are the ones that were opened.
    fn check_files(&self, file: &Path) -> Result<(), String> {
        let name = file.display();
        if identity(file).ok() != self.identity {
            return Err(format!(
                "{name} was removed or replaced while it was open; stop this program, put the \
                 file back or restore a backup, and start again"
            ));
        }
        let log = format!("{name}-wal");
        if !Path::new(&log).exists() {
            return Err(format!(
                "{log} was removed while it was open; stop this program, which writes what was in \
                 it, and start again"
            ));
        }
        Ok(())
    }
}

#[async_trait]
impl Probe for SqliteProbe {
    fn name(&self) -> &str {
        "embedded store"
    }

    async fn check(&self) -> Result<(), String> {
        if let Some(damage) = self.database.damage() {
            return Err(format!(
                "damaged: {damage}; `doctor` says where and what to do"
            ));
        }
        if let Some(file) = self.database.file() {
            self.check_files(file)?;
            let folder = file.parent().unwrap_or(file).to_owned();
            let written = tokio::task::spawn_blocking(move || write(&folder)).await;
            let written = written.map_err(|error| error.to_string())?;
            written.map_err(|error| format!("its folder cannot be written: {error}"))?;
        }
        // A value that changes: setting a column to itself writes no page.
        let touch = self.database.write(|connection| {
            let statement = "INSERT INTO leases VALUES ('readiness', '', 1, 0) \
                             ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1";
            connection.prepare_cached(statement)?.execute([])?;
            Ok(())
        });
        touch.await.map_err(|error| error.to_string())
    }
}

fn identity(file: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(file)?;
    Ok((found.dev(), found.ino()))
}

/// The database may find room within its own files where the disk has none left.
fn write(folder: &Path) -> io::Result<()> {
    let path = folder.join(FILE);
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&[1; ROOM])?;
        file.sync_all()
    });
    let removed = fs::remove_file(&path);
    written.and(removed)
}

/// Looks for damaged pages, at once and again and again, until shutdown.
pub(crate) async fn watch(database: Arc<Database>, interval: Duration, shutdown: Shutdown) {
    let opened = database.file().and_then(|file| identity(file).ok());
    while !shutdown.is_cancelled() {
        let began = Instant::now();
        check(&database, opened).await;
        let pause = interval.max(began.elapsed() * CHECK_PAUSE_FACTOR);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

async fn check(database: &Database, opened: Option<(u64, u64)>) {
    let found = database.file().and_then(|file| fs::metadata(file).ok());
    // Another file of that name is not to be opened beside the log of this one.
    let is_ours = |file: &fs::Metadata| Some((file.dev(), file.ino())) == opened;
    let is_checked = found.is_some_and(|file| is_ours(&file) && file.len() <= MAX_CHECKED);
    if !is_checked || database.damage().is_some() {
        return;
    }
    let found = database.read_afresh(|connection| Ok(quick_damages(connection)));
    // An error is no damage, or has been noted already.
    if let Some(first) = found.await.unwrap_or_default().first() {
        let part = first.part.as_deref().unwrap_or("the file");
        database.note_damage(&format!("{part}: {}", first.what));
    }
}
