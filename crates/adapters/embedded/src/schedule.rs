//! The schedule queue in the embedded store.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_pipeline::Operation;
use bakehouse_pipeline::ports::{
    ScheduleConsumer, ScheduleError, ScheduledBatch, Scheduler, StoreError, Unreadable,
};
use rusqlite::{Connection, params};
use tokio::sync::Notify;

use crate::database::{Database, Outcome};

/// Tells the consumer that something was scheduled.
#[derive(Default)]
pub(crate) struct Arrivals(Notify);

pub(crate) struct EmbeddedScheduler {
    database: Arc<Database>,
    arrivals: Arc<Arrivals>,
}

impl EmbeddedScheduler {
    pub(crate) fn new(database: Arc<Database>, arrivals: Arc<Arrivals>) -> Self {
        Self { database, arrivals }
    }
}

#[async_trait]
impl Scheduler for EmbeddedScheduler {
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError> {
        let text = serde_json::to_string(operation)
            .map_err(|e| ScheduleError::Unconfirmed(e.to_string()))?;
        let insert = move |connection: &Connection| {
            let statement = "INSERT INTO schedule (operation) VALUES (?1)";
            connection.prepare_cached(statement)?.execute([text])?;
            Ok(())
        };
        let written = self.database.try_write(insert).await;
        written.map_err(|error| ScheduleError::Unconfirmed(error.to_string()))?;
        self.arrivals.0.notify_one();
        Ok(())
    }
}

pub(crate) struct EmbeddedConsumer {
    database: Arc<Database>,
    arrivals: Arc<Arrivals>,
    /// The last row handed out.
    taken: i64,
}

impl EmbeddedConsumer {
    pub(crate) fn new(database: Arc<Database>, arrivals: Arc<Arrivals>) -> Self {
        Self {
            database,
            arrivals,
            taken: 0,
        }
    }
}

#[async_trait]
impl ScheduleConsumer for EmbeddedConsumer {
    async fn receive(&mut self, max: usize) -> Result<ScheduledBatch, StoreError> {
        loop {
            let batch = self.receive_now(max).await?;
            if !batch.operations.is_empty() || !batch.unreadable.is_empty() {
                return Ok(batch);
            }
            self.arrivals.0.notified().await;
        }
    }

    async fn receive_now(&mut self, max: usize) -> Result<ScheduledBatch, StoreError> {
        let after = self.taken;
        let rows = self
            .database
            .read(move |connection| waiting(connection, after, max))
            .await?;
        if let Some((last, _)) = rows.last() {
            self.taken = *last;
        }
        Ok(decode(rows))
    }

    async fn park(&mut self, message: &Unreadable) -> Result<(), StoreError> {
        let Unreadable { bytes, reason } = message.clone();
        self.database
            .write(move |connection| {
                let statement = "INSERT INTO parked (bytes, reason) VALUES (?1, ?2)";
                connection
                    .prepare_cached(statement)?
                    .execute(params![bytes, reason])?;
                Ok(())
            })
            .await
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        let taken = self.taken;
        self.database
            .write(move |connection| {
                let statement = "DELETE FROM schedule WHERE seq <= ?1";
                connection.prepare_cached(statement)?.execute([taken])?;
                Ok(())
            })
            .await
    }
}

fn waiting(connection: &Connection, after: i64, max: usize) -> Outcome<Vec<(i64, String)>> {
    let query = "SELECT seq, operation FROM schedule WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let mut statement = connection.prepare_cached(query)?;
    let rows = statement.query_map([after, max as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn decode(rows: Vec<(i64, String)>) -> ScheduledBatch {
    let mut batch = ScheduledBatch::default();
    for (_, text) in rows {
        match serde_json::from_str(&text) {
            Ok(operation) => batch.operations.push(operation),
            Err(error) => batch.unreadable.push(Unreadable {
                bytes: text.into_bytes(),
                reason: error.to_string(),
            }),
        }
    }
    batch
}
