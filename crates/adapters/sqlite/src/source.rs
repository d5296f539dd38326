//! Source state in SQLite.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::ports::{
    Checkpoint, EntityWrite, Execution, Progress, Slot, SourceStore, StoreError, Verdict,
};
use bakehouse_engine::{EntityRecord, EntryStatus, Position, Timestamp};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Row, ToSql, params, params_from_iter};

use crate::checkpoints::fence;
use crate::database::Database;
use crate::error::Outcome;
use crate::rows::{integer, json, position, timestamp};

/// Name of the stage's checkpoint.
const NAME: &str = "orders-manager";

pub(crate) struct SqliteSource {
    pub(crate) database: Arc<Database>,
    pub(crate) slot: Slot,
}

impl SqliteSource {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        let slot = Slot::Live;
        Self { database, slot }
    }
}

#[async_trait]
impl Progress for SqliteSource {
    async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let name = self.slot.name(NAME);
        self.database
            .read(move |connection| checkpoint(connection, &name))
            .await
    }

    async fn snapshots(
        &self,
        ids: &[&str],
        up_to: Position,
    ) -> Result<HashMap<String, EntityRecord>, StoreError> {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let snapshots = self.slot.name("snapshots");
        let query = format!(
            "SELECT {RECORD_COLUMNS} FROM {snapshots} WHERE id = ?1 AND position <= ?2 \
             ORDER BY position DESC LIMIT 1"
        );
        let read = move |connection: &Connection| records(connection, &query, &ids, up_to);
        self.database.read(read).await
    }
}

#[async_trait]
impl SourceStore for SqliteSource {
    async fn load(&self, ids: &[&str]) -> Result<HashMap<String, EntityRecord>, StoreError> {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let entities = self.slot.name("entities");
        let query =
            format!("SELECT {RECORD_COLUMNS} FROM {entities} WHERE id = ?1 AND position <= ?2");
        let read = move |connection: &Connection| records(connection, &query, &ids, Position::MAX);
        self.database.read(read).await
    }

    async fn commit(&self, execution: &Execution) -> Result<(), StoreError> {
        let (execution, slot) = (execution.clone(), self.slot);
        self.database
            .write(move |connection| commit(connection, slot, &execution))
            .await
    }
}

fn checkpoint(connection: &Connection, name: &str) -> Outcome<Checkpoint> {
    let query = "SELECT position, entities, parked FROM checkpoints WHERE name = ?1";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query([name])?;
    let row = rows
        .next()?
        .ok_or_else(|| StoreError::Corrupt(format!("no checkpoint of {name}")))?;
    Ok(Checkpoint {
        position: position(row, 0)?,
        entities: position(row, 1)?,
        parked: position(row, 2)?,
        // Only one process writes a SQLite store, so writers need no generation.
        generation: 0,
    })
}

/// Columns that [`record`] reads and [`columns`] writes, in their order.
pub(crate) const RECORD_COLUMNS: &str =
    "id, number, position, version, created_at, updated_at, owner, state";

/// Runs a query with id and position for each of the ids; returns the records found, by id.
fn records(
    connection: &Connection,
    query: &str,
    ids: &[String],
    up_to: Position,
) -> Outcome<HashMap<String, EntityRecord>> {
    let mut statement = connection.prepare_cached(query)?;
    let mut found = HashMap::with_capacity(ids.len());
    for id in ids {
        let mut rows = statement.query(params![id, integer(up_to)])?;
        if let Some(row) = rows.next()? {
            found.insert(id.clone(), record(row)?);
        }
    }
    Ok(found)
}

pub(crate) fn record(row: &Row<'_>) -> Outcome<EntityRecord> {
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

fn columns(record: &EntityRecord) -> rusqlite::Result<[ToSqlOutput<'_>; 8]> {
    Ok([
        record.id.to_sql()?,
        integer(record.number).into(),
        integer(record.position).into(),
        integer(record.version).into(),
        record.created_at.millis().into(),
        record.updated_at.millis().into(),
        record.owner.to_sql()?,
        record.state.get().into(),
    ])
}

fn commit(connection: &Connection, slot: Slot, execution: &Execution) -> Outcome<()> {
    move_checkpoint(connection, slot, execution)?;
    write_entities(connection, slot, &execution.entities)?;
    write_snapshots(connection, slot, &execution.snapshots)?;
    match slot {
        Slot::Live => write_verdicts(connection, execution),
        // A rebuild replays entries that already have their verdicts.
        Slot::Shadow(_) => Ok(()),
    }
}

fn move_checkpoint(connection: &Connection, slot: Slot, execution: &Execution) -> Outcome<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE checkpoints SET position = ?1, entities = ?2, parked = ?3 \
         WHERE name = ?4 AND position = ?5 AND entities = ?6",
    )?;
    let (from, to) = (execution.from, execution.to);
    fence(statement.execute(params![
        integer(to.position),
        integer(to.entities),
        integer(to.parked),
        slot.name(NAME),
        integer(from.position),
        integer(from.entities),
    ])?)
}

fn write_entities(connection: &Connection, slot: Slot, writes: &[EntityWrite]) -> Outcome<()> {
    let entities = slot.name("entities");
    let insert = format!(
        "INSERT INTO {entities} SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE ?9 IS NULL \
         ON CONFLICT DO NOTHING"
    );
    let update = format!(
        "UPDATE {entities} SET number = ?2, position = ?3, version = ?4, created_at = ?5, \
         updated_at = ?6, owner = ?7, state = ?8 WHERE id = ?1 AND position = ?9"
    );
    for write in writes {
        let expected = ToSqlOutput::Owned(write.expected.map(integer).into());
        let values = columns(&write.record)?.into_iter().chain([expected]);
        let statement = match write.expected {
            None => &insert,
            Some(_) => &update,
        };
        let mut statement = connection.prepare_cached(statement)?;
        fence(statement.execute(params_from_iter(values))?)?;
    }
    Ok(())
}

fn write_snapshots(connection: &Connection, slot: Slot, snapshots: &[EntityRecord]) -> Outcome<()> {
    let table = slot.name("snapshots");
    let insert = format!("INSERT OR REPLACE INTO {table} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
    let mut insert = connection.prepare_cached(&insert)?;
    for record in snapshots {
        insert.execute(params_from_iter(columns(record)?))?;
    }
    Ok(())
}

/// Writes the verdicts of the executed entries, and those that resolve parked entries.
fn write_verdicts(connection: &Connection, execution: &Execution) -> Outcome<()> {
    let at = execution.executed_at;
    let run = (execution.from.position + 1..).zip(&execution.verdicts);
    for (position, verdict) in run {
        write_verdict(connection, position, verdict, EntryStatus::Stored, None, at)?;
    }
    for resolved in &execution.resolved {
        let (position, by) = (resolved.position, Some(resolved.by));
        write_verdict(
            connection,
            position,
            &resolved.verdict,
            EntryStatus::Parked,
            by,
            at,
        )?;
    }
    Ok(())
}

/// Writes the verdict of a log entry if its status is still `from`; keeps the reason for which it
/// was parked.
fn write_verdict(
    connection: &Connection,
    position: Position,
    verdict: &Verdict,
    from: EntryStatus,
    resolved_by: Option<Position>,
    at: Timestamp,
) -> Outcome<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE events SET status = ?3, change = ?4, reason = ?5, parked = coalesce(?6, parked), \
         settled_by = ?7, execution_time = ?8, code = ?9 WHERE position = ?1 AND status = ?2",
    )?;
    let values = Columns::of(verdict);
    // A parked entry has not been executed.
    let at = values.parked.is_none().then_some(at.millis());
    statement.execute(params![
        integer(position),
        from.as_str(),
        values.status.as_str(),
        values.change,
        values.reason,
        values.parked,
        resolved_by.map(integer),
        at,
        values.code
    ])?;
    Ok(())
}

/// Columns of a verdict in the table `events`.
struct Columns<'a> {
    status: EntryStatus,
    change: Option<&'a str>,
    reason: Option<&'a str>,
    code: Option<&'a str>,
    parked: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(verdict: &'a Verdict) -> Self {
        let with = |status| Self {
            status,
            change: None,
            reason: None,
            code: None,
            parked: None,
        };
        match verdict {
            Verdict::Executed { change } => Self {
                change: Some(change),
                ..with(EntryStatus::Executed)
            },
            Verdict::Rejected(rejection) => Self {
                reason: Some(&rejection.reason),
                code: rejection.code.as_deref(),
                ..with(EntryStatus::Rejected)
            },
            Verdict::Parked { reason } => Self {
                parked: Some(reason),
                ..with(EntryStatus::Parked)
            },
        }
    }
}
