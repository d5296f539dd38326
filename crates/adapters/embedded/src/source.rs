//! The source state in the embedded store.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_pipeline::ports::{
    Checkpoint, EntityWrite, Execution, SourceStore, StoreError, Verdict,
};
use bakehouse_pipeline::{EntityRecord, EventStatus};
use rusqlite::{Connection, Row, params};

use crate::checkpoints::fence;
use crate::database::{Database, Outcome};
use crate::rows::{integer, json, position, timestamp};

pub(crate) struct EmbeddedSource(pub(crate) Arc<Database>);

#[async_trait]
impl SourceStore for EmbeddedSource {
    async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.0.read(checkpoint).await
    }

    async fn load(&self, ids: &[&str]) -> Result<HashMap<String, EntityRecord>, StoreError> {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        self.0.read(move |connection| load(connection, &ids)).await
    }

    async fn commit(&self, execution: &Execution) -> Result<(), StoreError> {
        let execution = execution.clone();
        self.0
            .write(move |connection| commit(connection, &execution))
            .await
    }
}

fn checkpoint(connection: &Connection) -> Outcome<Checkpoint> {
    let query = "SELECT position, entities FROM checkpoints WHERE name = 'orders-manager'";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query([])?;
    let row = rows
        .next()?
        .ok_or(StoreError::Corrupt("no checkpoint".into()))?;
    Ok(Checkpoint {
        position: position(row, 0)?,
        entities: position(row, 1)?,
    })
}

fn load(connection: &Connection, ids: &[String]) -> Outcome<HashMap<String, EntityRecord>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, number, position, version, created_at, updated_at, owner, state \
         FROM entities WHERE id = ?1",
    )?;
    let mut found = HashMap::with_capacity(ids.len());
    for id in ids {
        let mut rows = statement.query([id])?;
        if let Some(row) = rows.next()? {
            found.insert(id.clone(), record(row)?);
        }
    }
    Ok(found)
}

fn record(row: &Row<'_>) -> Outcome<EntityRecord> {
    Ok(EntityRecord {
        id: row.get(0)?,
        number: position(row, 1)?,
        position: position(row, 2)?,
        version: position(row, 3)?,
        created_at: timestamp(row.get(4)?)?,
        updated_at: timestamp(row.get(5)?)?,
        owner: row.get(6)?,
        state: json(row.get(7)?)?,
    })
}

fn commit(connection: &Connection, execution: &Execution) -> Outcome<()> {
    move_checkpoint(connection, execution)?;
    for write in &execution.entities {
        put(connection, write)?;
    }
    mark(connection, execution)
}

fn move_checkpoint(connection: &Connection, execution: &Execution) -> Outcome<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE checkpoints SET position = ?1, entities = ?2 \
         WHERE name = 'orders-manager' AND position = ?3 AND entities = ?4",
    )?;
    let (from, to) = (execution.from, execution.to);
    let parameters = [to.position, to.entities, from.position, from.entities].map(integer);
    fence(statement.execute(parameters)?)
}

fn put(connection: &Connection, write: &EntityWrite) -> Outcome<()> {
    let record = &write.record;
    let values = params![
        record.id,
        integer(record.number),
        integer(record.position),
        integer(record.version),
        record.created_at.millis(),
        record.updated_at.millis(),
        record.owner,
        record.state.get(),
        write.expected.map(integer),
    ];
    let statement = match write.expected {
        None => {
            "INSERT INTO entities SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE ?9 IS NULL \
             ON CONFLICT DO NOTHING"
        }
        Some(_) => {
            "UPDATE entities SET number = ?2, position = ?3, version = ?4, created_at = ?5, \
             updated_at = ?6, owner = ?7, state = ?8 WHERE id = ?1 AND position = ?9"
        }
    };
    fence(connection.prepare_cached(statement)?.execute(values)?)
}

fn mark(connection: &Connection, execution: &Execution) -> Outcome<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE events SET status = ?2, change = ?3, reason = ?4, execution_time = ?5 \
         WHERE position = ?1 AND status = 'stored'",
    )?;
    let at = execution.executed_at.millis();
    for (position, verdict) in (execution.from.position + 1..).zip(&execution.verdicts) {
        let (status, change, reason) = columns(verdict);
        statement.execute(params![
            integer(position),
            status.as_str(),
            change,
            reason,
            at
        ])?;
    }
    Ok(())
}

fn columns(verdict: &Verdict) -> (EventStatus, Option<&str>, Option<&str>) {
    match verdict {
        Verdict::Executed { change } => (EventStatus::Executed, Some(change), None),
        Verdict::Rejected { reason } => (EventStatus::Rejected, None, Some(reason)),
    }
}
