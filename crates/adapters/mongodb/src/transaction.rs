//! A transaction that is fenced by a checkpoint.

use std::collections::VecDeque;

use bakehouse_engine::fault_injection::point;
use bakehouse_engine::ports::StoreError;
use mongodb::ClientSession;
use mongodb::bson::{Document, doc};
use mongodb::error::UNKNOWN_TRANSACTION_COMMIT_RESULT;
use tokio::sync::Mutex;

use crate::checkpoints::CHECKPOINTS;
use crate::connection::{Connection, durable};
use crate::error::{duplicate, store_error};
use crate::update;

/// Tries to learn the outcome of a commit before it is left to the checkpoint.
const COMMITS: usize = 3;

/// Where the sessions of whoever writes are remembered, by its checkpoint's name.
const SESSIONS: &str = "sessions";

/// How many of them are. After any error a session is begun anew, so that as many failures
/// kill each of them again.
const REMEMBERED: usize = 16;

/// Runs the transactions of one stage, one at a time.
///
/// A process that is killed in the middle of a transaction leaves it open on the
/// server, with its locks, for a minute by default; its successor would meet
/// nothing but write conflicts. Therefore all transactions of a stage use one
/// session, whose id is on record before it is used for the first time, and whoever
/// begins a session kills all others on record. They stay there for a while: what one
/// that is dead had sent may arrive later than that, and open its transaction again.
pub(crate) struct Transactor {
    connection: Connection,
    name: String,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    current: Option<ClientSession>,
    /// Whether the current one has something begun that did not come to its end.
    is_open: bool,
    /// Kept from being used by anybody else as long as they may be killed once more.
    retired: VecDeque<ClientSession>,
}

impl Sessions {
    fn retire(&mut self) {
        self.retired.extend(self.current.take());
        if self.retired.len() > REMEMBERED {
            self.retired.pop_front();
        }
    }
}

/// An open transaction.
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
    /// After an error nothing is certain but this: the body's effects stand
    /// altogether or not at all, and the checkpoint tells which.
    pub(crate) async fn transact(
        &self,
        body: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let work = async {
            let mut sessions = self.sessions.lock().await;
            let session = self.session(&mut sessions).await?;
            let mut transaction = Transaction::begin(&self.connection, session).await?;
            let done = body(&mut transaction).await;
            let done = transaction.end(done).await;
            sessions.is_open = done.is_err();
            done
        };
        self.connection.in_time(work).await?
    }

    /// The session to be used next. One in which something went wrong, or was left by
    /// whoever ran out of time, is not used again.
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

    /// Puts a session on record, and kills those that were.
    async fn record(&self, session: &ClientSession) -> Result<(), StoreError> {
        let sessions = self.connection.collection(SESSIONS);
        let latest = doc! { "$each": [session.id()], "$slice": -(REMEMBERED as i32) };
        let recorded = sessions
            .find_one_and_update(
                doc! { "_id": &self.name },
                doc! { "$push": { "latest": latest } },
            )
            .upsert(true);
        let before = self.connection.bounded(recorded).await?;
        point("mongodb.session-recorded");
        let others = before.and_then(|row| row.get_array("latest").ok().cloned());
        let mut others = others.unwrap_or_default();
        others.retain(|other| other.as_document() != Some(session.id()));
        // None would be taken for all there are.
        if !others.is_empty() {
            let kill = doc! { "killSessions": others };
            let admin = self.connection.client.database("admin");
            self.connection.bounded(admin.run_command(kill)).await?;
            point("mongodb.sessions-killed");
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

    /// Commits, or aborts if something went wrong.
    async fn end(&mut self, done: Result<(), StoreError>) -> Result<(), StoreError> {
        if let Err(error) = done {
            // An error here changes nothing: the next session kills this one.
            let _ = self.session.abort_transaction().await;
            return Err(error);
        }
        point("mongodb.written");
        let mut tries = COMMITS;
        loop {
            tries -= 1;
            match self.session.commit_transaction().await {
                Ok(()) => {
                    self.connection.horizon.reach(self.session);
                    point("mongodb.committed");
                    return Ok(());
                }
                Err(error)
                    if tries > 0 && error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT) => {}
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

    /// Moves the checkpoint, if it is where it must be.
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
        point("mongodb.checkpoint-moved");
        Ok(())
    }

    /// Inserts documents none of which may be there.
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
        point("mongodb.inserted");
        Ok(())
    }

    /// Inserts what is new, and runs update statements each of which must find
    /// its document as it expects it.
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

    /// Removes documents by their ids, as far as they are there.
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

    /// Runs update statements (`{q, u, …}`); says how many documents they matched.
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
            point("mongodb.updated");
        }
        Ok(matched)
    }
}

/// Guarded writes that matched fewer documents than there are found a guard not to hold.
fn fence(matched: u64, expected: usize) -> Result<(), StoreError> {
    if matched == expected as u64 {
        return Ok(());
    }
    Err(StoreError::Fenced)
}
