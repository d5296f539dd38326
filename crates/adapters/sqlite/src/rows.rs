//! Mapping between rows and the engine's types.

use bakehouse_engine::ports::{StoreError, StoredDocument};
use bakehouse_engine::{
    EntryStatus, Frame, Json, LogEntry, Operation, Position, Terms, Timestamp, Verb,
};
use rusqlite::{Connection, Params, Row};
use uuid::Uuid;

use crate::error::{Failure, Outcome};

/// Columns that [`log_entry`] reads, in its order.
pub(crate) const EVENT_COLUMNS: &str = "position, operation_id, service_name, operation, \
    entity_id, payload, schema_version, correlation_id, causation_id, conflicts_with, fingerprint, \
    accepted_at, creation_time, execution_time, status, change, reason, actor, owner, \
    expected_version, parked, settled_by, code, on_behalf_of";

pub(crate) fn log_entry(row: &Row<'_>) -> Outcome<LogEntry> {
    Ok(LogEntry {
        position: position(row, 0)?,
        creation_time: timestamp(row.get(12)?)?,
        execution_time: row.get::<_, Option<i64>>(13)?.map(timestamp).transpose()?,
        status: valid(EntryStatus::parse(text(row, 14)?), "status")?,
        change: row.get(15)?,
        reason: row.get(16)?,
        code: row.get(22)?,
        parked: row.get(20)?,
        resolved_by: optional_position(row, 21)?,
        operation: Operation {
            operation_id: uuid(text(row, 1)?)?,
            service_name: row.get(2)?,
            operation: valid(Verb::parse(text(row, 3)?), "operation")?,
            entity_id: row.get(4)?,
            payload: json(row.get(5)?)?,
            schema_version: row.get(6)?,
            correlation_id: uuid(text(row, 7)?)?,
            terms: Terms {
                actor: row.get(17)?,
                on_behalf_of: row.get(23)?,
                owner: row.get(18)?,
                expected_version: optional_position(row, 19)?,
            },
            causation_id: optional_uuid(row, 8)?,
            conflicts_with: optional_uuid(row, 9)?,
            fingerprint: row.get(10)?,
            accepted_at: timestamp(row.get(11)?)?,
        },
    })
}

/// Columns that [`frame`] reads, in its order.
pub(crate) const FRAME_COLUMNS: &str =
    "position, type, entity_id, owner, grouping, left_grouping, body";

pub(crate) fn frame(row: &Row<'_>) -> Outcome<Frame> {
    Ok(Frame {
        position: position(row, 0)?,
        kind: row.get(1)?,
        entity_id: row.get(2)?,
        owner: row.get(3)?,
        group: row.get(4)?,
        left_group: row.get(5)?,
        body: json(row.get(6)?)?,
    })
}

/// Columns that [`document`] reads, in its order.
pub(crate) const DOCUMENT_COLUMNS: &str = "number, position, version, owner, body";

/// Reads the documents that a query for [`DOCUMENT_COLUMNS`] finds.
pub(crate) fn documents(
    connection: &Connection,
    query: &str,
    parameters: impl Params,
) -> Outcome<Vec<StoredDocument>> {
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(parameters)?;
    let mut documents = Vec::new();
    while let Some(row) = rows.next()? {
        documents.push(document(row)?);
    }
    Ok(documents)
}

fn document(row: &Row<'_>) -> Outcome<StoredDocument> {
    Ok(StoredDocument {
        number: position(row, 0)?,
        position: position(row, 1)?,
        version: position(row, 2)?,
        owner: row.get(3)?,
        body: json(row.get(4)?)?,
    })
}

/// Converts a position to SQLite's signed integer, whose limit positions never reach.
pub(crate) fn integer(position: Position) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

pub(crate) fn position(row: &Row<'_>, column: usize) -> Outcome<Position> {
    let value: i64 = row.get(column)?;
    valid(Position::try_from(value).ok(), "position")
}

fn optional_position(row: &Row<'_>, column: usize) -> Outcome<Option<Position>> {
    let value: Option<i64> = row.get(column)?;
    Ok(value.map(i64::unsigned_abs))
}

pub(crate) fn timestamp(millis: i64) -> Outcome<Timestamp> {
    valid(Timestamp::from_millis(millis), "time")
}

pub(crate) fn json(text: String) -> Outcome<Json> {
    let raw = serde_json::value::RawValue::from_string(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        StoreError::Corrupt(format!(
            "a stored JSON text is invalid at line {line}, column {column}"
        ))
    })?;
    Ok(Json::from(raw))
}

pub(crate) fn text<'a>(row: &'a Row<'_>, column: usize) -> Outcome<&'a str> {
    let value = row.get_ref(column)?;
    let text = value.as_str().ok();
    text.ok_or_else(|| Failure::Store(StoreError::Corrupt("a stored value is not text".into())))
}

pub(crate) fn uuid(text: &str) -> Outcome<Uuid> {
    let invalid = || StoreError::Corrupt(format!("a stored id is not a UUID: {text:?}"));
    Uuid::parse_str(text).map_err(|_| Failure::Store(invalid()))
}

fn optional_uuid(row: &Row<'_>, column: usize) -> Outcome<Option<Uuid>> {
    let text: Option<String> = row.get(column)?;
    text.as_deref().map(uuid).transpose()
}

/// Unwraps a parsed value.
///
/// # Errors
/// [`StoreError::Corrupt`] if the stored text or number could not be parsed.
pub(crate) fn valid<T>(value: Option<T>, what: &str) -> Outcome<T> {
    value.ok_or_else(|| Failure::Store(StoreError::Corrupt(format!("a stored {what} is invalid"))))
}
