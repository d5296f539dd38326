//! Access to the database file: one writer thread, several reading connections.
//!
//! A write is a job for the writer thread. The thread runs all queued jobs in one transaction,
//! each in its own savepoint, syncs once, and only then answers them: an answered write is on
//! disk, and many concurrent writes cost few syncs.
//!
//! An in-memory store has a single connection, the writer's, so its reads are jobs as well. The
//! same holds within [`Database::begin`], whose reads see the transaction's own writes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use bakehouse_engine::Facet;
use bakehouse_engine::fault_injection::failpoint;
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::StoreError;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use crate::error::{DatabaseError, Failure, Outcome};
use crate::salvage::is_damage;
use crate::{list, schema};

/// Maximum number of jobs in the queue of the writer thread; a caller waits, or is refused, while
/// the queue is full.
const MAX_QUEUED_JOBS: usize = 8_192;
/// Maximum number of jobs in one transaction, which bounds the latency of each.
const MAX_BATCH: usize = 2_048;
/// Maximum number of idle reading connections that are kept open.
const MAX_IDLE_READERS: usize = 4;
/// Maximum number of concurrent reads; each has its own connection, page cache and thread.
const MAX_CONCURRENT_READS: usize = 16;

/// Work that runs inside the transaction; the returned reply runs after the commit.
type Job = Box<dyn FnOnce(&Connection) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

type Prepare = fn(Connection) -> Result<Connection, DatabaseError>;

/// An open database.
pub(crate) struct Database {
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<thread::JoinHandle<()>>,
    readers: Option<Readers>,
    /// First damage that any access has found.
    damage: Arc<OnceLock<String>>,
    /// True after a panic of the writer thread.
    has_panicked: watch::Receiver<bool>,
}

/// Pool of reading connections.
#[derive(Clone)]
struct Readers {
    file: PathBuf,
    prepare: Prepare,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    fn new(file: &Path, prepare: Prepare, idle: Vec<Connection>) -> Self {
        Self {
            file: file.to_owned(),
            prepare,
            idle: Arc::new(Mutex::new(idle)),
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT_READS)),
        }
    }
}

/// Handle of an open transaction; dropped without a commit, it rolls the transaction back.
pub(crate) struct TransactionHandle {
    state: Arc<AtomicU8>,
    jobs: mpsc::Sender<Job>,
}

/// State of a transaction that accepts jobs.
const OPEN: u8 = 0;
/// State of a transaction that is to be committed.
const COMMITTED: u8 = 1;
/// State of a transaction that is to be rolled back.
const ROLLED_BACK: u8 = 2;

impl TransactionHandle {
    /// Ends the transaction with a commit.
    pub(crate) fn commit(self) {
        self.state.store(COMMITTED, Ordering::Release);
    }
}

impl Drop for TransactionHandle {
    fn drop(&mut self) {
        let rolled_back =
            self.state
                .compare_exchange(OPEN, ROLLED_BACK, Ordering::AcqRel, Ordering::Acquire);
        // An error means that the transaction was committed.
        let _ = rolled_back;
        // Wakes the writer thread, which checks the state after each job.
        let _ = self.jobs.try_send(Box::new(|_| Box::new(|_| ())));
    }
}

impl Database {
    /// Opens the database, creating or upgrading its tables.
    pub(crate) fn open(file: &Path, facets: &[Facet]) -> Result<Self, DatabaseError> {
        let readers = Readers::new(file, connect_reader, Vec::new());
        let connection = connect(Connection::open(file)?)?;
        // The lock of the folder proves that the previous lease holders have ended.
        connection.execute("UPDATE leases SET expires_at = 0", [])?;
        Self::run(connection, facets, Some(readers))
    }

    /// Opens the database read-only: no table is created, and every write fails.
    pub(crate) fn inspect(file: &Path) -> Result<Self, DatabaseError> {
        let connection = connect_read_only(Connection::open_with_flags(
            file,
            OpenFlags::SQLITE_OPEN_READ_WRITE,
        )?)?;
        Ok(Self {
            jobs: None,
            writer: None,
            readers: Some(Readers::new(file, connect_read_only, vec![connection])),
            damage: Arc::default(),
            has_panicked: watch::channel(false).1,
        })
    }

    /// Creates a database in memory.
    pub(crate) fn in_memory(facets: &[Facet]) -> Result<Self, DatabaseError> {
        Self::run(connect(Connection::open_in_memory()?)?, facets, None)
    }

    fn run(
        connection: Connection,
        facets: &[Facet],
        readers: Option<Readers>,
    ) -> Result<Self, DatabaseError> {
        list::create_indexes(&connection, facets)?;
        let (jobs, queue) = mpsc::channel(MAX_QUEUED_JOBS);
        let (panicked, has_panicked) = watch::channel(false);
        let work = move || {
            let ended = catch_unwind(AssertUnwindSafe(move || run_writer(&connection, queue)));
            if ended.is_err() {
                panicked.send_replace(true);
            }
        };
        let writer = thread::Builder::new()
            .name("embedded-writer".into())
            .spawn(work)
            .map_err(DatabaseError::Thread)?;
        Ok(Self {
            jobs: Some(jobs),
            writer: Some(writer),
            readers,
            damage: Arc::default(),
            has_panicked,
        })
    }

    /// Runs `body` in a synced transaction; waits while the queue is full.
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

    /// Like [`Database::write`], but fails at once when the queue is full.
    pub(crate) async fn try_write<T, F>(&self, body: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let (job, answer) = job(self.damage.clone(), body);
        let jobs = self.jobs.as_ref().ok_or_else(Self::closed)?;
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => {
                StoreError::unavailable("embedded store: write queue full; retry later")
            }
            TrySendError::Closed(_) => Self::closed(),
        })?;
        answer.await.map_err(|_| Self::closed())?
    }

    /// Runs `body` on a reading connection, on a blocking thread.
    pub(crate) async fn read<T, F>(&self, body: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let Some(readers) = self.readers.clone() else {
            return self.write(body).await;
        };
        // The semaphore is never closed; a cancelled caller leaves its queue.
        let permit = readers.permits.clone().acquire_owned().await;
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let lock = || readers.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let idle = lock().pop();
            let open = || -> Result<Connection, DatabaseError> {
                (readers.prepare)(Connection::open(&readers.file)?)
            };
            let connection = idle.map_or_else(open, Ok)?;
            let result = body(&connection);
            let mut idle = lock();
            if idle.len() < MAX_IDLE_READERS {
                idle.push(connection);
            }
            result
        });
        let read = task.await.map_err(|_| Self::closed())?;
        with_damage_recorded(&self.damage, read).map_err(StoreError::from)
    }

    /// Runs `body` on a new connection, whose page cache is empty.
    pub(crate) async fn read_uncached<T, F>(&self, body: F) -> Result<T, StoreError>
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
        with_damage_recorded(&self.damage, read).map_err(StoreError::from)
    }

    /// Path of the database file; `None` in memory.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.readers.as_ref().map(|readers| readers.file.as_path())
    }

    /// First damage that any access has found since the database was opened.
    pub(crate) fn damage(&self) -> Option<&str> {
        self.damage.get().map(String::as_str)
    }

    /// Records a damage; only the first one is kept and logged.
    pub(crate) fn record_damage(&self, what: &str) {
        if self.damage.set(what.to_owned()).is_ok() {
            tracing::error!(
                "embedded store: damaged: {what}; run `doctor` to see what is affected"
            );
        }
    }
}

/// Records the damage that a failed statement reports.
fn with_damage_recorded<T>(damage: &OnceLock<String>, result: Outcome<T>) -> Outcome<T> {
    if let Err(Failure::Sqlite(error)) = &result
        && is_damage(error)
        && damage.set(error.to_string()).is_ok()
    {
        tracing::error!("embedded store: damaged: {error}; run `doctor` to see what is affected");
    }
    result
}

impl Database {
    /// Begins a transaction that stays open until its handle ends it; other writes wait
    /// meanwhile. Returns a database whose jobs run in the transaction, the handle, and the
    /// receiver of the commit's result.
    pub(crate) async fn begin(
        &self,
    ) -> Result<
        (
            Self,
            TransactionHandle,
            oneshot::Receiver<Result<(), StoreError>>,
        ),
        StoreError,
    > {
        let (inner, mut queue) = mpsc::channel::<Job>(MAX_QUEUED_JOBS);
        let state = Arc::new(AtomicU8::new(OPEN));
        let handle = TransactionHandle {
            state: state.clone(),
            jobs: inner.clone(),
        };
        let (unit, outcome) = job(self.damage.clone(), move |connection| {
            while state.load(Ordering::Acquire) == OPEN {
                let Some(job) = queue.blocking_recv() else {
                    break;
                };
                job(connection)(Ok(()));
            }
            match state.load(Ordering::Acquire) {
                COMMITTED => Ok(()),
                _ => Err(StoreError::unavailable("embedded store: transaction rolled back").into()),
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
        Ok((database, handle, outcome))
    }

    /// Completes when the writer thread panics; stays pending after an orderly close.
    pub(crate) fn failure(&self) -> impl Future<Output = StoreError> + Send + use<> {
        let mut has_panicked = self.has_panicked.clone();
        async move {
            if has_panicked.wait_for(|it| *it).await.is_err() {
                // Closed in order.
                std::future::pending::<()>().await;
            }
            StoreError::unavailable(
                "embedded store: the writer thread panicked; restart this program",
            )
        }
    }

    /// Error of an access to a closed database.
    pub(crate) fn closed() -> StoreError {
        StoreError::unavailable("embedded store: closed")
    }
}

impl Drop for Database {
    /// Waits until the writer thread has run all queued jobs and closed the file.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn connect(mut connection: Connection) -> Result<Connection, DatabaseError> {
    schema::prepare(&mut connection, &ids::fresh().to_string())?;
    Ok(connection)
}

fn connect_reader(connection: Connection) -> Result<Connection, DatabaseError> {
    let connection = connect(connection)?;
    schema::shrink_cache(&connection)?;
    Ok(connection)
}

fn connect_read_only(connection: Connection) -> Result<Connection, DatabaseError> {
    schema::prepare_read_only(&connection)?;
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
        let result = with_damage_recorded(&damage, result).map_err(StoreError::from);
        Box::new(move |committed| {
            let _ = answer.send(committed.and(result));
        })
    });
    (job, receiver)
}

/// Runs `body` in a savepoint, which is rolled back if `body` fails.
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

/// Body of the writer thread; returns when all senders are dropped.
fn run_writer(connection: &Connection, mut queue: mpsc::Receiver<Job>) {
    let mut batch = Vec::new();
    while queue.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
        run_batch(connection, &mut batch);
    }
}

fn run_batch(connection: &Connection, batch: &mut Vec<Job>) {
    let mut replies = Vec::with_capacity(batch.len());
    let outcome = transact(connection, batch, &mut replies);
    if let Err(error) = &outcome {
        tracing::error!("embedded store: commit failed: {error}");
    }
    for reply in replies {
        reply(outcome.clone());
    }
}

fn transact(
    connection: &Connection,
    batch: &mut Vec<Job>,
    replies: &mut Vec<Reply>,
) -> Result<(), StoreError> {
    let failed = |error| StoreError::from(Failure::Sqlite(error));
    let begun = connection
        .prepare_cached("BEGIN IMMEDIATE")
        .and_then(|mut s| s.execute([]));
    if let Err(error) = begun {
        // The callers of dropped jobs get the error of a closed database.
        batch.clear();
        return Err(failed(error));
    }
    replies.extend(batch.drain(..).map(|job| job(connection)));
    failpoint("embedded.written");
    let committed = connection
        .prepare_cached("COMMIT")
        .and_then(|mut s| s.execute([]));
    failpoint("embedded.committed");
    committed.map(|_| ()).map_err(|error| {
        // A failed commit leaves the transaction open; the next batch must not join it.
        let _ = connection.execute_batch("ROLLBACK");
        failed(error)
    })
}

#[cfg(test)]
mod tests;
