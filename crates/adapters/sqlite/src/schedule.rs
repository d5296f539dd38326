//! The schedule queue in the embedded store.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::ports::{
    ScheduleConsumer, ScheduleError, ScheduledBatch, Scheduler, StoreError, Unreadable,
};
use bakehouse_engine::{Operation, Position};
use rusqlite::{Connection, params};
use tokio::sync::Notify;

use crate::database::{Database, Outcome};
use crate::rows::{integer, position};

/// Name of the consumer's checkpoint.
const NAME: &str = "events-writer";

/// How far the queue has been settled.
#[derive(Clone, Copy)]
pub(crate) struct Settled {
    /// Number of the last operation that was settled.
    pub(crate) position: Position,
    /// Operations that were not there any more when their turn came.
    pub(crate) lost: u64,
}

/// The consumer's checkpoint; `None` where nothing is known of it: in a store of an earlier
/// program, or one whose checkpoints were reset.
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

/// Tells the consumer that something was scheduled.
#[derive(Default)]
pub(crate) struct Arrivals(Notify);

pub(crate) struct SqliteScheduler {
    database: Arc<Database>,
    arrivals: Arc<Arrivals>,
}

impl SqliteScheduler {
    pub(crate) fn new(database: Arc<Database>, arrivals: Arc<Arrivals>) -> Self {
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
    arrivals: Arc<Arrivals>,
    /// The last row handed out; `None`: to be read from the store.
    taken: Option<i64>,
    /// Rows that were not there any more when their turn came, not on record yet.
    lost: i64,
}

impl SqliteConsumer {
    pub(crate) fn new(database: Arc<Database>, arrivals: Arc<Arrivals>) -> Self {
        Self {
            database,
            arrivals,
            taken: None,
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
        let after = self.taken;
        let read = move |connection: &Connection| {
            let known = match after {
                Some(taken) => Some(taken),
                None => settled(connection)?.map(|settled| integer(settled.position)),
            };
            Ok((known, waiting(connection, known.unwrap_or_default(), max)?))
        };
        let (known, rows) = self.database.read(read).await?;
        if let (Some((first, _)), Some((last, _))) = (rows.first(), rows.last()) {
            // Numbers are given without gaps: what is missing between them was accepted.
            let before = known.unwrap_or(first - 1);
            let there = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            let lost = (last - before).saturating_sub(there).max(0);
            if lost > 0 {
                tracing::error!("embedded store: {lost} accepted operations have vanished");
            }
            self.lost += lost;
            self.taken = Some(*last);
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
        let Some(taken) = self.taken else {
            return Ok(());
        };
        let lost = self.lost;
        self.database
            .write(move |connection| {
                let statement = "DELETE FROM schedule WHERE seq <= ?1";
                connection.prepare_cached(statement)?.execute([taken])?;
                let statement = "INSERT INTO checkpoints (name, position, entities, epoch) \
                                 VALUES (?1, ?2, ?3, '') ON CONFLICT (name) DO UPDATE \
                                 SET position = ?2, entities = entities + ?3";
                let mut statement = connection.prepare_cached(statement)?;
                statement.execute(params![NAME, taken, lost])?;
                Ok(())
            })
            .await?;
        self.lost = 0;
        Ok(())
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
