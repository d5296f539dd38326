//! Readiness of the embedded store: the file exists, is undamaged and can be written.

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

/// Size in bytes of the test file: about the size of the largest request.
const TEST_FILE_SIZE: usize = 64 * 1024;
/// Name of the test file that proves that the disk has space.
const TEST_FILE: &str = "readiness.tmp";
/// Minimum pause after a check of the file, as a multiple of the check's duration; limits checks to
/// 2 % of one core.
const CHECK_PAUSE_FACTOR: u32 = 50;
/// Maximum size in bytes of a file that is checked while in use; reading a larger one takes too
/// long.
const MAX_CHECKED_BYTES: u64 = 1 << 30;

pub(crate) struct SqliteProbe {
    database: Arc<Database>,
    /// Device and inode of the opened file.
    identity: Option<(u64, u64)>,
}

impl SqliteProbe {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        let identity = database.file().and_then(|file| identity(file).ok());
        Self { database, identity }
    }

    /// Checks that the database file and its log are the ones that were opened.
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
                "{log} was removed while it was open; stop this program, which writes its content \
                 to the database, and start again"
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
                "damaged: {damage}; run `doctor` to see what is affected"
            ));
        }
        if let Some(file) = self.database.file() {
            self.check_files(file)?;
            let folder = file.parent().unwrap_or(file).to_owned();
            let written = tokio::task::spawn_blocking(move || write(&folder)).await;
            let written = written.map_err(|error| error.to_string())?;
            written.map_err(|error| format!("the data folder cannot be written: {error}"))?;
        }
        // Changes a value, because setting a column to itself writes no page.
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

/// Writes and removes a test file. The database alone is no proof of space on the disk: it may
/// reuse free pages of its own file.
fn write(folder: &Path) -> io::Result<()> {
    let path = folder.join(TEST_FILE);
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&[1; TEST_FILE_SIZE])?;
        file.sync_all()
    });
    let removed = fs::remove_file(&path);
    written.and(removed)
}

/// Checks the file for damaged pages, at once and then periodically, until shutdown.
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
    // A replaced file must not be opened together with the log of the original.
    let is_ours = |file: &fs::Metadata| Some((file.dev(), file.ino())) == opened;
    let is_checked = found.is_some_and(|file| is_ours(&file) && file.len() <= MAX_CHECKED_BYTES);
    if !is_checked || database.damage().is_some() {
        return;
    }
    let found = database.read_uncached(|connection| Ok(quick_damages(connection)));
    // An error is either no damage or already recorded.
    if let Some(first) = found.await.unwrap_or_default().first() {
        let part = first.part.as_deref().unwrap_or("the file");
        database.record_damage(&format!("{part}: {}", first.what));
    }
}
