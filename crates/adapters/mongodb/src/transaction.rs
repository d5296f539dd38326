//! Transactions that are fenced by a checkpoint.

use std::collections::VecDeque;

use bakehouse_engine::fault_injection::failpoint;
use bakehouse_engine::ports::StoreError;
use mongodb::ClientSession;
use mongodb::bson::{Document, doc};
use mongodb::error::UNKNOWN_TRANSACTION_COMMIT_RESULT;
use tokio::sync::Mutex;

use crate::checkpoints::CHECKPOINTS;
use crate::connection::{Connection, durable};
use crate::error::{duplicate, store_error};
use crate::update;

/// Attempts to commit while the outcome is unknown; after that the checkpoint shows the outcome.
const MAX_COMMIT_ATTEMPTS: usize = 3;

/// Collection of the recorded session ids, by the name of the stage's checkpoint.
const SESSIONS: &str = "sessions";

/// Session ids that are recorded per stage. Every error starts a new session, which kills the
/// recorded ones again, so each session is killed up to this many times.
const MAX_RECORDED_SESSIONS: usize = 16;

/// Runs the transactions of one stage, one at a time.
///
/// A process that is killed during a transaction leaves it open on the server, with its locks, for
/// a minute by default; its successor would meet only write conflicts. Therefore all transactions
/// of a stage use one session, whose id is recorded before its first use, and every new session
/// kills the other recorded ones. Ids stay recorded for a while: a delayed request of a dead
/// process could open its transaction again.
pub(crate) struct Transactor {
    connection: Connection,
    name: String,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    current: Option<ClientSession>,
    /// True if the current session has a transaction whose end is unknown.
    is_open: bool,
    /// Sessions that may be killed again; kept so that the driver does not reuse their ids.
    retired: VecDeque<ClientSession>,
}

impl Sessions {
    fn retire(&mut self) {
        self.retired.extend(self.current.take());
        if self.retired.len() > MAX_RECORDED_SESSIONS {
            self.retired.pop_front();
        }
    }
}

/// Open transaction.
pub(crate) struct Transaction<'a> {
    connection: &'a Connection,
    session: &'a mut ClientSession,
}

impl Transactor {
    pub(crate) fn new(connection: Connection, name: &str) -> Self {
        Self {
            connection,
            name: name.to_owned(),
            sessions: Mutex::default(),
        }
    }

    /// Runs `body` in a transaction and commits it.
    ///
    /// # Errors
    /// [`StoreError`]; the effects of `body` are then applied as a whole or not at all, and the
    /// checkpoint shows which.
    pub(crate) async fn transact(
        &self,
        body: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut sessions = self.sessions.lock().await;
            let session = self.session(&mut sessions).await?;
            let mut transaction = Transaction::begin(&self.connection, session).await?;
            let outcome = body(&mut transaction).await;
            let outcome = transaction.end(outcome).await;
            sessions.is_open = outcome.is_err();
            outcome
        };
        self.connection.in_time(work).await?
    }

    /// Returns the session for the next transaction. A session whose last transaction failed or was
    /// dropped is replaced.
    async fn session<'a>(
        &self,
        sessions: &'a mut Sessions,
    ) -> Result<&'a mut ClientSession, StoreError> {
        if sessions.is_open {
            sessions.retire();
        }
        let is_new = sessions.current.is_none();
        let session = match sessions.current.take() {
            Some(session) => session,
            None => {
                let begin = self.connection.client.start_session();
                self.connection.bounded(begin).await?
            }
        };
        sessions.is_open = true;
        let session = sessions.current.insert(session);
        if is_new {
            self.record(session).await?;
        }
        Ok(session)
    }

    /// Records a session, and kills those recorded before.
    async fn record(&self, session: &ClientSession) -> Result<(), StoreError> {
        let sessions = self.connection.collection(SESSIONS);
        let latest = doc! { "$each": [session.id()], "$slice": -(MAX_RECORDED_SESSIONS as i32) };
        let recorded = sessions
            .find_one_and_update(
                doc! { "_id": &self.name },
                doc! { "$push": { "latest": latest } },
            )
            .upsert(true);
        let before = self.connection.bounded(recorded).await?;
        failpoint("mongodb.session-recorded");
        let others = before.and_then(|row| row.get_array("latest").ok().cloned());
        let mut others = others.unwrap_or_default();
        others.retain(|other| other.as_document() != Some(session.id()));
        // An empty list would kill all sessions.
        if !others.is_empty() {
            let kill = doc! { "killSessions": others };
            let admin = self.connection.client.database("admin");
            self.connection.bounded(admin.run_command(kill)).await?;
            failpoint("mongodb.sessions-killed");
        }
        Ok(())
    }
}

impl<'a> Transaction<'a> {
    async fn begin(
        connection: &'a Connection,
        session: &'a mut ClientSession,
    ) -> Result<Self, StoreError> {
        let start = session.start_transaction().write_concern(durable());
        start
            .await
            .map_err(|error| store_error(connection.name, &error))?;
        Ok(Self {
            connection,
            session,
        })
    }

    /// Commits, or aborts after an error of the body.
    async fn end(&mut self, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        if let Err(error) = outcome {
            // A failure to abort is harmless: the next session kills this one.
            let _ = self.session.abort_transaction().await;
            return Err(error);
        }
        failpoint("mongodb.written");
        let mut attempts = MAX_COMMIT_ATTEMPTS;
        loop {
            attempts -= 1;
            match self.session.commit_transaction().await {
                Ok(()) => {
                    self.connection.horizon.reach(self.session);
                    failpoint("mongodb.committed");
                    return Ok(());
                }
                Err(error)
                    if attempts > 0 && error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) => {}
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    fn failed(&self, error: &mongodb::error::Error) -> StoreError {
        if duplicate(error).is_some() {
            return StoreError::Fenced;
        }
        store_error(self.connection.name, error)
    }

    /// Moves the checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] unless the checkpoint matches `from`.
    pub(crate) async fn move_checkpoint(
        &mut self,
        from: Document,
        to: Document,
    ) -> Result<(), StoreError> {
        let checkpoints = self.connection.collection(CHECKPOINTS);
        let update = checkpoints.update_one(from, doc! { "$set": to });
        let moved = update.session(&mut *self.session).await;
        let moved = moved.map_err(|error| self.failed(&error))?;
        fence(moved.matched_count, 1)?;
        failpoint("mongodb.checkpoint-moved");
        Ok(())
    }

    /// Inserts documents.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if one of them exists already.
    pub(crate) async fn insert(
        &mut self,
        collection: &str,
        rows: Vec<Document>,
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let collection = self.connection.collection(collection);
        let insert = collection
            .insert_many(rows)
            .ordered(true)
            .session(&mut *self.session);
        let inserted = insert.await;
        inserted.map_err(|error| self.failed(&error))?;
        failpoint("mongodb.inserted");
        Ok(())
    }

    /// Inserts the new documents, and runs the update statements of the changed ones.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if a new document exists already, or a statement matches no document.
    pub(crate) async fn write(
        &mut self,
        collection: &str,
        new: Vec<Document>,
        changed: Vec<Document>,
    ) -> Result<(), StoreError> {
        let expected = changed.len();
        self.insert(collection, new).await?;
        fence(self.update(collection, changed).await?, expected)
    }

    /// Removes the documents with these ids that exist.
    pub(crate) async fn remove(
        &mut self,
        collection: &str,
        ids: &[&str],
    ) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let collection = self.connection.collection(collection);
        let delete = collection.delete_many(doc! { "_id": { "$in": ids } });
        let deleted = delete.session(&mut *self.session).await;
        deleted.map(|_| ()).map_err(|error| self.failed(&error))
    }

    /// Runs update statements (`{q, u, …}`). Returns how many documents they matched.
    pub(crate) async fn update(
        &mut self,
        collection: &str,
        statements: Vec<Document>,
    ) -> Result<u64, StoreError> {
        let database = self.connection.database.clone();
        let mut matched = 0;
        for command in update::commands(collection, statements)? {
            let answer = database
                .run_command(command)
                .session(&mut *self.session)
                .await;
            let answer = answer.map_err(|error| self.failed(&error))?;
            matched += update::matched(self.connection.name, &answer)?;
            failpoint("mongodb.updated");
        }
        Ok(matched)
    }
}

/// Returns [`StoreError::Fenced`] unless every guarded statement has matched its document.
fn fence(matched: u64, expected: usize) -> Result<(), StoreError> {
    if matched == expected as u64 {
        return Ok(());
    }
    Err(StoreError::Fenced)
}
