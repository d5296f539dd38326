//! One writing thread, several reading connections.
//!
//! A write is a job for the thread. It runs all jobs that have gathered in one
//! transaction, each in a savepoint of its own, syncs once, and only then
//! answers them: what is answered is on disk, and a flood costs few syncs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bakehouse_pipeline::ports::StoreError;
use bakehouse_pipeline::{Facet, ids};
use rusqlite::Connection;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::{list, schema};

/// Jobs that may wait for the thread; beyond that, callers wait or are refused.
const QUEUE: usize = 8_192;
/// Jobs in one transaction at most, so that none waits for too many others.
const GROUP: usize = 2_048;
/// Idle reading connections kept open.
const READERS: usize = 4;

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
    file: PathBuf,
    readers: Arc<Mutex<Vec<Connection>>>,
}

impl Database {
    pub(crate) fn open(file: &Path, facets: &[Facet]) -> rusqlite::Result<Self> {
        let connection = connect(file)?;
        connection.execute_batch(&list::indexes(facets))?;
        let (jobs, queue) = mpsc::channel(QUEUE);
        let writer = thread::Builder::new()
            .name("embedded-writer".into())
            .spawn(move || write(&connection, queue))
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(Self {
            jobs: Some(jobs),
            writer: Some(writer),
            file: file.to_owned(),
            readers: Arc::default(),
        })
    }

    /// Runs `body` in a synced transaction; waits for a place in the queue.
    pub(crate) async fn write<T, F>(&self, body: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let (job, answer) = job(body);
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Like [`Database::write`], but refuses at once when the queue is full.
    pub(crate) async fn try_write<T, F>(&self, body: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let (job, answer) = job(body);
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::unavailable("embedded store: too much to write"),
            TrySendError::Closed(_) => closed(),
        })?;
        answer.await.map_err(|_| closed())?
    }

    /// Runs `body` on a reading connection, away from the async threads.
    pub(crate) async fn read<T, F>(&self, body: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let (readers, file) = (self.readers.clone(), self.file.clone());
        let task = tokio::task::spawn_blocking(move || {
            let idle = readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = idle.map_or_else(|| connect(&file), Ok)?;
            let result = body(&connection);
            let mut idle = readers.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < READERS {
                idle.push(connection);
            }
            result
        });
        task.await.map_err(|_| closed())?.map_err(StoreError::from)
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

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(file)?;
    schema::prepare(&mut connection, &ids::fresh().to_string())?;
    Ok(connection)
}

fn closed() -> StoreError {
    StoreError::unavailable("embedded store: closed")
}

fn job<T, F>(body: F) -> (Job, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
{
    let (answer, receiver) = oneshot::channel();
    let job: Job = Box::new(move |connection| {
        let result = in_savepoint(connection, body).map_err(StoreError::from);
        Box::new(move |committed| {
            let _ = answer.send(committed.and(result));
        })
    });
    (job, receiver)
}

fn in_savepoint<T>(
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
    let committed = connection
        .prepare_cached("COMMIT")
        .and_then(|mut s| s.execute([]));
    committed.map(|_| ()).map_err(|error| {
        // A failed commit leaves the transaction open; the next must not join it.
        let _ = connection.execute_batch("ROLLBACK");
        failed(error)
    })
}
