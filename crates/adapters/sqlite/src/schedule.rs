//! Schedule queue in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::ports::{
    ScheduleConsumer, ScheduleError, ScheduledBatch, Scheduler, StoreError, UnreadableMessage,
};
use bakehouse_engine::{Operation, Position};
use rusqlite::{Connection, params};
use tokio::sync::Notify;

use crate::database::Database;
use crate::error::Outcome;
use crate::rows::{integer, position};

/// Name of the consumer's checkpoint.
const NAME: &str = "events-writer";

/// Progress of the consumer.
#[derive(Clone, Copy)]
pub(crate) struct Settled {
    /// Sequence number of the last settled operation.
    pub(crate) position: Position,
    /// Number of operations that were missing from the queue.
    pub(crate) lost: u64,
}

/// Returns the consumer's checkpoint; `None` in a store of an earlier version or after a reset of
/// the checkpoints.
pub(crate) fn settled(connection: &Connection) -> Outcome<Option<Settled>> {
    let query = "SELECT position, entities FROM checkpoints WHERE name = ?1 AND position > 0";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query([NAME])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(Settled {
        position: position(row, 0)?,
        lost: position(row, 1)?,
    }))
}

/// Signal that wakes the consumer when an operation is scheduled.
#[derive(Default)]
pub(crate) struct ArrivalSignal(Notify);

pub(crate) struct SqliteScheduler {
    database: Arc<Database>,
    arrivals: Arc<ArrivalSignal>,
}

impl SqliteScheduler {
    pub(crate) fn new(database: Arc<Database>, arrivals: Arc<ArrivalSignal>) -> Self {
        Self { database, arrivals }
    }
}

#[async_trait]
impl Scheduler for SqliteScheduler {
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

pub(crate) struct SqliteConsumer {
    database: Arc<Database>,
    arrivals: Arc<ArrivalSignal>,
    /// Sequence number of the last received row; `None` before it is read from the store.
    last_received: Option<i64>,
    /// Number of missing rows that is not stored in the checkpoint yet.
    lost: i64,
}

impl SqliteConsumer {
    pub(crate) fn new(database: Arc<Database>, arrivals: Arc<ArrivalSignal>) -> Self {
        Self {
            database,
            arrivals,
            last_received: None,
            lost: 0,
        }
    }
}

#[async_trait]
impl ScheduleConsumer for SqliteConsumer {
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
        let after = self.last_received;
        let read = move |connection: &Connection| {
            let known = match after {
                Some(last) => Some(last),
                None => settled(connection)?.map(|settled| integer(settled.position)),
            };
            let rows = queued_rows(connection, known.unwrap_or_default(), max)?;
            Ok((known, rows))
        };
        let (known, rows) = self.database.read(read).await?;
        if let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) {
            // Sequence numbers have no gaps, so a missing number was an accepted operation.
            let before = known.unwrap_or(first - 1);
            let received = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            let lost = (last - before).saturating_sub(received).max(0);
            if lost > 0 {
                tracing::error!(
                    "embedded store: {lost} accepted operations are missing from the queue; run \
                     `doctor` for what to do"
                );
            }
            self.lost += lost;
            self.last_received = Some(*last);
        }
        Ok(decode(rows))
    }

    async fn park(&mut self, message: &UnreadableMessage) -> Result<(), StoreError> {
        let UnreadableMessage { bytes, reason } = message.clone();
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
        let Some(last) = self.last_received else {
            return Ok(());
        };
        let lost = self.lost;
        self.database
            .write(move |connection| {
                let statement = "DELETE FROM schedule WHERE seq <= ?1";
                connection.prepare_cached(statement)?.execute([last])?;
                let statement = "INSERT INTO checkpoints (name, position, entities, epoch) \
                                 VALUES (?1, ?2, ?3, '') ON CONFLICT (name) DO UPDATE \
                                 SET position = ?2, entities = entities + ?3";
                let mut statement = connection.prepare_cached(statement)?;
                statement.execute(params![NAME, last, lost])?;
                Ok(())
            })
            .await?;
        self.lost = 0;
        Ok(())
    }
}

fn queued_rows(connection: &Connection, after: i64, max: usize) -> Outcome<Vec<(i64, String)>> {
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
            Err(error) => batch.unreadable.push(UnreadableMessage {
                bytes: text.into_bytes(),
                reason: format!(
                    "not a valid operation (line {}, column {})",
                    error.line(),
                    error.column()
                ),
            }),
        }
    }
    batch
}
