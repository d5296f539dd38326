//! A transaction that is fenced by a checkpoint.

use bakehouse_pipeline::ports::StoreError;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use mongodb::{ClientSession, Collection, Database};

use crate::connection::{Connection, durable};
use crate::error::{DUPLICATE_KEY, duplicate, store_error};

/// Tries to learn the outcome of a commit before it is left to the checkpoint.
const COMMITS: usize = 3;
/// Statements in one command at most; with documents of 64 KiB that stays
/// below the 48 MB of a message.
const STATEMENTS: usize = 500;

/// An open transaction.
pub(crate) struct Transaction<'a> {
    connection: &'a Connection,
    session: ClientSession,
}

/// Runs `body` in a transaction and commits it.
///
/// After an error nothing is certain but this: the body's effects stand
/// altogether or not at all, and the checkpoint tells which.
pub(crate) async fn transact(
    connection: &Connection,
    body: impl AsyncFnOnce(&mut Transaction<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let work = async {
        let mut transaction = Transaction::begin(connection).await?;
        let done = body(&mut transaction).await;
        transaction.end(done).await
    };
    let answer = tokio::time::timeout(Connection::LIMIT, work).await;
    answer.unwrap_or_else(|_| Err(connection.silent()))
}

impl<'a> Transaction<'a> {
    async fn begin(connection: &'a Connection) -> Result<Self, StoreError> {
        let failed = |error| store_error(connection.name, &error);
        let mut session = connection.client.start_session().await.map_err(failed)?;
        let start = session.start_transaction().write_concern(durable());
        start.await.map_err(failed)?;
        Ok(Self {
            connection,
            session,
        })
    }

    async fn end(mut self, done: Result<(), StoreError>) -> Result<(), StoreError> {
        if done.is_err() {
            // An error here changes nothing: the server aborts it by itself.
            let _ = self.session.abort_transaction().await;
            return done;
        }
        let mut tries = COMMITS;
        loop {
            tries -= 1;
            match self.session.commit_transaction().await {
                Ok(()) => return Ok(()),
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
        let fault = store_error(self.connection.name, error);
        if error.contains_label(TRANSIENT_TRANSACTION_ERROR) {
            tracing::debug!("transient: {fault}");
        }
        fault
    }

    /// Moves the checkpoint, if it is where it must be.
    pub(crate) async fn move_checkpoint(
        &mut self,
        from: Document,
        to: Document,
    ) -> Result<(), StoreError> {
        let checkpoints = self.connection.collection("checkpoints");
        let update = checkpoints.update_one(from, doc! { "$set": to });
        let moved = update.session(&mut self.session).await;
        let moved = moved.map_err(|error| self.failed(&error))?;
        fence(moved.matched_count, 1)
    }

    /// Inserts documents none of which may be there.
    pub(crate) async fn insert(
        &mut self,
        collection: &Collection<Document>,
        rows: Vec<Document>,
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let insert = collection.insert_many(rows).ordered(true).session(&mut self.session);
        let inserted = insert.await;
        inserted.map(|_| ()).map_err(|error| self.failed(&error))
    }

    /// Runs update statements (`{q, u, …}`); says how many documents they matched.
    pub(crate) async fn update(
        &mut self,
        collection: &str,
        statements: Vec<Document>,
    ) -> Result<u64, StoreError> {
        let database = self.connection.database.clone();
        let mut matched = 0;
        for chunk in statements.chunks(STATEMENTS) {
            matched += self.update_chunk(&database, collection, chunk).await?;
        }
        Ok(matched)
    }

    async fn update_chunk(
        &mut self,
        database: &Database,
        collection: &str,
        statements: &[Document],
    ) -> Result<u64, StoreError> {
        let command = doc! { "update": collection, "updates": statements.to_vec() };
        let answer = database.run_command(command).session(&mut self.session).await;
        let answer = answer.map_err(|error| self.failed(&error))?;
        if let Ok(errors) = answer.get_array("writeErrors") {
            return Err(self.refused(errors));
        }
        let matched = answer.get("n").and_then(|n| n.as_i64().or(n.as_i32().map(i64::from)));
        Ok(matched.unwrap_or_default().unsigned_abs())
    }

    fn refused(&self, errors: &[Bson]) -> StoreError {
        let first = errors.first().and_then(Bson::as_document);
        match first.and_then(|error| error.get_i32("code").ok()) {
            Some(DUPLICATE_KEY) => StoreError::Fenced,
            _ => StoreError::unavailable(format!("{}: {first:?}", self.connection.name)),
        }
    }
}

/// Guarded writes that matched fewer documents than there are found a guard not to hold.
pub(crate) fn fence(matched: u64, expected: usize) -> Result<(), StoreError> {
    if matched == expected as u64 {
        return Ok(());
    }
    Err(StoreError::Fenced)
}
