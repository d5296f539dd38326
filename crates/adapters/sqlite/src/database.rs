//! One writing thread, several reading connections.
//!
//! A write is a job for the thread. It runs all jobs that have gathered in one
//! transaction, each in a savepoint of its own, syncs once, and only then
//! answers them: what is answered is on disk, and a flood costs few syncs.
//!
//! A store in memory has one connection, the thread's: reads are jobs as well. So are
//! they within a [`Database::begin`], which sees what it has written itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use bakehouse_engine::Facet;
use bakehouse_engine::fault_injection::point;
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::StoreError;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::salvage::is_damage;
use crate::{list, schema};

/// Jobs that may wait for the thread; beyond that, callers wait or are refused.
const QUEUE: usize = 8_192;
/// Jobs in one transaction at most, so that none waits for too many others.
const GROUP: usize = 2_048;
/// Idle reading connections kept open.
const READERS: usize = 4;
/// Reads at the same time; each has a connection with a cache of its own, and a thread.
const MAX_READS: usize = 16;

/// Runs inside the transaction; what it returns runs once the outcome is certain.
type Job = Box<dyn FnOnce(&Connection) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What a job's body may fail with.
pub(crate) enum Failure {
    /// SQLite's own.
    Sqlite(rusqlite::Error),
    /// The adapter's.
    Store(StoreError),
}

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

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sqlite(error) => Self::unavailable(format!("embedded store: {error}")),
            Failure::Store(error) => error,
        }
    }
}

/// The result of a job's or a query's body.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// An open database.
pub(crate) struct Database {
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<thread::JoinHandle<()>>,
    readers: Option<Readers>,
    /// First damage that anybody has met.
    damage: Arc<OnceLock<String>>,
    /// True if the writing thread has panicked.
    has_panicked: watch::Receiver<bool>,
}

/// Connections to read by, beside the thread's.
#[derive(Clone)]
struct Readers {
    file: PathBuf,
    prepare: fn(Connection) -> rusqlite::Result<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    fn new(
        file: &Path,
        prepare: fn(Connection) -> rusqlite::Result<Connection>,
        idle: Vec<Connection>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            prepare,
            idle: Arc::new(Mutex::new(idle)),
            turns: Arc::new(Semaphore::new(MAX_READS)),
        }
    }
}

/// Ends an open transaction: kept, or else undone.
pub(crate) struct End {
    ending: Arc<AtomicU8>,
    jobs: mpsc::Sender<Job>,
}

/// How an open transaction ends.
const OPEN: u8 = 0;
const KEPT: u8 = 1;
const UNDONE: u8 = 2;

impl End {
    /// All that was done stands.
    pub(crate) fn keep(self) {
        self.ending.store(KEPT, Ordering::Release);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let undo = self
            .ending
            .compare_exchange(OPEN, UNDONE, Ordering::AcqRel, Ordering::Acquire);
        // An error says that it was kept.
        let _ = undo;
        // Wakes the thread; while it has other jobs, it looks by itself.
        let _ = self.jobs.try_send(Box::new(|_| Box::new(|_| ())));
    }
}

impl Database {
    pub(crate) fn open(file: &Path, facets: &[Facet]) -> rusqlite::Result<Self> {
        let readers = Readers::new(file, connect_reader, Vec::new());
        let connection = connect(Connection::open(file)?)?;
        // Whoever held them has ended, or the file would still be theirs.
        connection.execute("UPDATE leases SET expires_at = 0", [])?;
        Self::run(connection, facets, Some(readers))
    }

    /// To read alone: nothing is made, and nothing can be written.
    pub(crate) fn inspect(file: &Path) -> rusqlite::Result<Self> {
        let connection = look(Connection::open_with_flags(
            file,
            OpenFlags::SQLITE_OPEN_READ_WRITE,
        )?)?;
        Ok(Self {
            jobs: None,
            writer: None,
            readers: Some(Readers::new(file, look, vec![connection])),
            damage: Arc::default(),
            has_panicked: watch::channel(false).1,
        })
    }

    pub(crate) fn in_memory(facets: &[Facet]) -> rusqlite::Result<Self> {
        Self::run(connect(Connection::open_in_memory()?)?, facets, None)
    }

    fn run(
        connection: Connection,
        facets: &[Facet],
        readers: Option<Readers>,
    ) -> rusqlite::Result<Self> {
        list::make_indexes(&connection, facets)?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (panicked, has_panicked) = watch::channel(false);
        let work = move || {
            let written = catch_unwind(AssertUnwindSafe(move || write(&connection, queue)));
            if written.is_err() {
                panicked.send_replace(true);
            }
        };
        let writer = thread::Builder::new()
            .name("embedded-writer".into())
            .spawn(work)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(Self {
            jobs: Some(jobs),
            writer: Some(writer),
            readers,
            damage: Arc::default(),
            has_panicked,
        })
    }

    /// Runs `body` in a synced transaction; waits for a place in the queue.
    pub(crate) async fn write<T, F>(&self, body: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let (job, answer) = job(self.damage.clone(), body);
        let jobs = self.jobs.as_ref().ok_or_else(Self::closed)?;
        jobs.send(job).await.map_err(|_| Self::closed())?;
        answer.await.map_err(|_| Self::closed())?
    }

    /// Like [`Database::write`], but refuses at once when the queue is full.
    pub(crate) async fn try_write<T, F>(&self, body: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let (job, answer) = job(self.damage.clone(), body);
        let jobs = self.jobs.as_ref().ok_or_else(Self::closed)?;
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::unavailable("embedded store: too much to write"),
            TrySendError::Closed(_) => Self::closed(),
        })?;
        answer.await.map_err(|_| Self::closed())?
    }

    /// Runs `body` on a reading connection, away from the async threads.
    pub(crate) async fn read<T, F>(&self, body: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let Some(readers) = self.readers.clone() else {
            return self.write(body).await;
        };
        // Never closed; and whoever gives up leaves the line.
        let turn = readers.turns.clone().acquire_owned().await;
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let lock = || readers.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = lock().pop();
            let open = || Connection::open(&readers.file).and_then(readers.prepare);
            let connection = idle.map_or_else(open, Ok)?;
            let result = body(&connection);
            let mut idle = lock();
            if idle.len() < READERS {
                idle.push(connection);
            }
            result
        });
        let read = task.await.map_err(|_| Self::closed())?;
        noted(&self.damage, read).map_err(StoreError::from)
    }

    /// Runs `body` on a connection of its own, so that what others have in their caches
    /// does not count.
    pub(crate) async fn read_afresh<T, F>(&self, body: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let Some(file) = self.file().map(Path::to_owned) else {
            return self.write(body).await;
        };
        let task = tokio::task::spawn_blocking(move || {
            let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            connection.execute_batch("PRAGMA busy_timeout = 5000; PRAGMA query_only = ON;")?;
            body(&connection)
        });
        let read = task.await.map_err(|_| Self::closed())?;
        noted(&self.damage, read).map_err(StoreError::from)
    }

    /// File of the database, if it has one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.readers.as_ref().map(|readers| readers.file.as_path())
    }

    /// First damage that anybody has met since the database was opened.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.get().map(String::as_str)
    }

    /// Remembers a damage.
    pub(crate) fn note_damage(&self, what: &str) {
        if self.damage.set(what.to_owned()).is_ok() {
            tracing::error!("embedded store: damaged: {what}");
        }
    }
}

/// Remembers a damage that a statement has met.
fn noted<T>(damage: &OnceLock<String>, result: Outcome<T>) -> Outcome<T> {
    if let Err(Failure::Sqlite(error)) = &result
        && is_damage(error)
        && damage.set(error.to_string()).is_ok()
    {
        tracing::error!("embedded store: damaged: {error}");
    }
    result
}

impl Database {
    /// Opens a transaction that stays open until its end: a database to work on it by,
    /// the end, and whether what was kept is durable. Other writes wait.
    pub(crate) async fn begin(
        &self,
    ) -> Result<(Self, End, oneshot::Receiver<Result<(), StoreError>>), StoreError> {
        let (inner, mut queue) = mpsc::channel::<Job>(QUEUE);
        let ending = Arc::new(AtomicU8::new(OPEN));
        let end = End {
            ending: ending.clone(),
            jobs: inner.clone(),
        };
        let (unit, outcome) = job(self.damage.clone(), move |connection| {
            while ending.load(Ordering::Acquire) == OPEN {
                let Some(job) = queue.blocking_recv() else {
                    break;
                };
                job(connection)(Ok(()));
            }
            match ending.load(Ordering::Acquire) {
                KEPT => Ok(()),
                _ => Err(StoreError::unavailable("embedded store: undone").into()),
            }
        });
        let jobs = self.jobs.as_ref().ok_or_else(Self::closed)?;
        jobs.send(unit).await.map_err(|_| Self::closed())?;
        let database = Self {
            jobs: Some(inner),
            writer: None,
            readers: None,
            damage: self.damage.clone(),
            has_panicked: self.has_panicked.clone(),
        };
        Ok((database, end, outcome))
    }

    /// Waits until the writing thread has panicked.
    pub(crate) fn failure(&self) -> impl Future<Output = StoreError> + Send + use<> {
        let mut has_panicked = self.has_panicked.clone();
        async move {
            if has_panicked.wait_for(|it| *it).await.is_err() {
                // Closed in order.
                std::future::pending::<()>().await;
            }
            StoreError::unavailable("embedded store: its writing thread has panicked")
        }
    }

    pub(crate) fn closed() -> StoreError {
        StoreError::unavailable("embedded store: closed")
    }
}

impl Drop for Database {
    /// Ends the thread after what it has been given, so that the file is
    /// closed when this returns.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn connect(mut connection: Connection) -> rusqlite::Result<Connection> {
    schema::prepare(&mut connection, &ids::fresh().to_string())?;
    Ok(connection)
}

fn connect_reader(connection: Connection) -> rusqlite::Result<Connection> {
    let connection = connect(connection)?;
    schema::shrink_cache(&connection)?;
    Ok(connection)
}

fn look(connection: Connection) -> rusqlite::Result<Connection> {
    schema::look(&connection)?;
    Ok(connection)
}

fn job<T, F>(
    damage: Arc<OnceLock<String>>,
    body: F,
) -> (Job, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
{
    let (answer, receiver) = oneshot::channel();
    let job: Job = Box::new(move |connection| {
        let result = in_savepoint(connection, body);
        let result = noted(&damage, result).map_err(StoreError::from);
        Box::new(move |committed| {
            let _ = answer.send(committed.and(result));
        })
    });
    (job, receiver)
}

pub(crate) fn in_savepoint<T>(
    connection: &Connection,
    body: impl FnOnce(&Connection) -> Outcome<T>,
) -> Outcome<T> {
    connection.prepare_cached("SAVEPOINT job")?.execute([])?;
    let result = body(connection);
    if result.is_err() {
        connection.prepare_cached("ROLLBACK TO job")?.execute([])?;
    }
    connection.prepare_cached("RELEASE job")?.execute([])?;
    result
}

/// The writing thread: until every sender is gone.
fn write(connection: &Connection, mut queue: mpsc::Receiver<Job>) {
    let mut group = Vec::new();
    while queue.blocking_recv_many(&mut group, GROUP) > 0 {
        run(connection, &mut group);
    }
}

fn run(connection: &Connection, group: &mut Vec<Job>) {
    let mut replies = Vec::with_capacity(group.len());
    let outcome = transact(connection, group, &mut replies);
    if let Err(error) = &outcome {
        tracing::error!("embedded store: a commit failed: {error}");
    }
    for reply in replies {
        reply(outcome.clone());
    }
}

fn transact(
    connection: &Connection,
    group: &mut Vec<Job>,
    replies: &mut Vec<Reply>,
) -> Result<(), StoreError> {
    let failed = |error| StoreError::from(Failure::Sqlite(error));
    let begun = connection
        .prepare_cached("BEGIN IMMEDIATE")
        .and_then(|mut s| s.execute([]));
    if let Err(error) = begun {
        // Dropped unanswered, which their callers see as closed.
        group.clear();
        return Err(failed(error));
    }
    replies.extend(group.drain(..).map(|job| job(connection)));
    point("embedded.written");
    let committed = connection
        .prepare_cached("COMMIT")
        .and_then(|mut s| s.execute([]));
    point("embedded.committed");
    committed.map(|_| ()).map_err(|error| {
        // A failed commit leaves the transaction open; the next must not join it.
        let _ = connection.execute_batch("ROLLBACK");
        failed(error)
    })
}

#[cfg(test)]
mod tests;
