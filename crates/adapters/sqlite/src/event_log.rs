//! Log in SQLite; the statements for reads without payloads are in `summaries`.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::ports::{Appended, EventLog, StoreError, SummaryQuery, contiguous};
use bakehouse_engine::{EntryStatus, LogEntry, Operation, Position, Timestamp};
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use uuid::Uuid;

use crate::database::Database;
use crate::error::Outcome;
use crate::rows::{EVENT_COLUMNS, integer, log_entry};
use crate::summaries::statements;

pub(crate) struct SqliteLog(pub(crate) Arc<Database>);

#[async_trait]
impl EventLog for SqliteLog {
    async fn append_at(
        &self,
        operations: &[Operation],
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError> {
        let operations = operations.to_vec();
        self.0
            .write(move |connection| append(connection, &operations, now))
            .await
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let query = format!(
            "SELECT {EVENT_COLUMNS} FROM events WHERE position > ?1 ORDER BY position LIMIT ?2"
        );
        let read = move |connection: &Connection| {
            entries(connection, &query, params![integer(after), limit as i64])
        };
        contiguous(after, self.0.read(read).await?)
    }

    async fn history(
        &self,
        entity_id: &str,
        after: Position,
        up_to: Position,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let id = entity_id.to_owned();
        let query = format!(
            "SELECT {EVENT_COLUMNS} FROM events WHERE entity_id = ?1 \
             AND position > ?2 AND position <= ?3 ORDER BY position"
        );
        self.0
            .read(move |connection| {
                entries(
                    connection,
                    &query,
                    params![id, integer(after), integer(up_to)],
                )
            })
            .await
    }

    async fn find(&self, operation_id: Uuid) -> Result<Option<LogEntry>, StoreError> {
        let query = format!("SELECT {EVENT_COLUMNS} FROM events WHERE operation_id = ?1");
        let read = move |connection: &Connection| {
            entries(connection, &query, params![operation_id.to_string()])
        };
        Ok(self.0.read(read).await?.pop())
    }

    async fn summaries(&self, query: &SummaryQuery<'_>) -> Result<Vec<LogEntry>, StoreError> {
        let (statements, limit) = (statements(query), query.limit);
        let read = move |connection: &Connection| {
            let mut found = Vec::new();
            for (statement, values) in &statements {
                found.extend(entries(connection, statement, params_from_iter(values))?);
            }
            found.sort_unstable_by_key(|entry| entry.position);
            found.truncate(limit);
            Ok(found)
        };
        self.0.read(read).await
    }

    async fn executed(
        &self,
        entity_id: &str,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let id = entity_id.to_owned();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let query = format!(
            "SELECT {EVENT_COLUMNS} FROM events WHERE entity_id = ?1 \
             AND position > ?2 AND position <= ?3 AND status = 'executed' AND parked IS NULL \
             ORDER BY position LIMIT ?4"
        );
        let read = move |connection: &Connection| {
            let values = params![id, integer(after), integer(up_to), limit];
            entries(connection, &query, values)
        };
        self.0.read(read).await
    }

    async fn ever_parked(&self, entity_ids: &[&str]) -> Result<Vec<LogEntry>, StoreError> {
        let ids: Vec<String> = entity_ids.iter().map(|id| (*id).to_owned()).collect();
        let query = format!(
            "SELECT {EVENT_COLUMNS} FROM events WHERE entity_id = ?1 AND parked IS NOT NULL \
             ORDER BY position"
        );
        let read = move |connection: &Connection| {
            let mut found = Vec::new();
            for id in &ids {
                found.extend(entries(connection, &query, params![id])?);
            }
            Ok(found)
        };
        let mut found = self.0.read(read).await?;
        found.sort_unstable_by_key(|entry| entry.position);
        Ok(found)
    }

    async fn parked(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let query = format!(
            "SELECT {EVENT_COLUMNS} FROM events WHERE status = 'parked' AND position > ?1 \
             ORDER BY position LIMIT ?2"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = move |connection: &Connection| {
            entries(connection, &query, params![integer(after), limit])
        };
        self.0.read(read).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        let read = |connection: &Connection| Ok(head(connection)?.0);
        self.0.read(read).await
    }

    async fn epoch(&self) -> Result<String, StoreError> {
        self.0
            .read(|connection| {
                let query = "SELECT epoch FROM checkpoints WHERE name = 'orders-manager'";
                Ok(connection.query_row(query, [], |row| row.get(0))?)
            })
            .await
    }
}

fn entries(
    connection: &Connection,
    query: &str,
    parameters: impl rusqlite::Params,
) -> Outcome<Vec<LogEntry>> {
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(parameters)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(log_entry(row)?);
    }
    Ok(entries)
}

fn append(
    connection: &Connection,
    operations: &[Operation],
    now: Timestamp,
) -> Outcome<Vec<Appended>> {
    let (mut head, latest) = head(connection)?;
    let now = now.millis().max(latest);
    let mut answers = Vec::with_capacity(operations.len());
    for operation in operations {
        let answer = if insert(connection, head + 1, now, operation)? {
            head += 1;
            Appended::Stored(head)
        } else {
            compare_with_stored(connection, operation)?
        };
        answers.push(answer);
    }
    Ok(answers)
}

/// Returns the last position and its creation time in milliseconds; zeros for an empty log.
fn head(connection: &Connection) -> Outcome<(Position, i64)> {
    let query = "SELECT position, creation_time FROM events ORDER BY position DESC LIMIT 1";
    let mut statement = connection.prepare_cached(query)?;
    let head = statement
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))
        .optional()?;
    Ok(head.map_or((0, 0), |(position, time)| (position.unsigned_abs(), time)))
}

/// Inserts an operation; returns `false` if its id is already stored.
fn insert(
    connection: &Connection,
    position: Position,
    now: i64,
    operation: &Operation,
) -> Outcome<bool> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
         ?15, ?16, NULL, ?17, NULL, NULL, NULL, NULL, NULL, ?18) ON CONFLICT (operation_id) DO NOTHING",
    )?;
    let inserted = statement.execute(params![
        integer(position),
        operation.operation_id.to_string(),
        operation.service_name,
        operation.operation.as_str(),
        operation.entity_id,
        operation.payload.get(),
        operation.schema_version,
        operation.correlation_id.to_string(),
        operation.terms.actor,
        operation.terms.owner,
        operation.terms.expected_version.map(integer),
        operation.causation_id.map(|id| id.to_string()),
        operation.conflicts_with.map(|id| id.to_string()),
        operation.fingerprint,
        operation.accepted_at.millis(),
        now,
        EntryStatus::Stored.as_str(),
        operation.terms.on_behalf_of,
    ])?;
    Ok(inserted == 1)
}

/// Compares an operation with the stored one of the same id.
fn compare_with_stored(connection: &Connection, operation: &Operation) -> Outcome<Appended> {
    let query = "SELECT fingerprint FROM events WHERE operation_id = ?1";
    let mut statement = connection.prepare_cached(query)?;
    let stored: String =
        statement.query_row([operation.operation_id.to_string()], |row| row.get(0))?;
    Ok(if Operation::is_same(&stored, &operation.fingerprint) {
        Appended::Duplicate
    } else {
        Appended::Conflict
    })
}
