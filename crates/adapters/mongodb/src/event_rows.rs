//! Conversion between log entries and documents of the `events` collection.

use bakehouse_engine::ports::{StoreError, no_payload};
use bakehouse_engine::{EntryStatus, Json, LogEntry, Operation, Position, Terms, Timestamp, Verb};
use mongodb::bson::{Bson, Document, doc};
use uuid::Uuid;

use crate::convert::{Fields, date, integer, to_bson};

/// Builds the document of a new log entry. `_id` is the position, so that the unique index of every
/// collection fences concurrent writers.
pub(crate) fn to_row(
    position: Position,
    now: Timestamp,
    operation: &Operation,
) -> Result<Document, StoreError> {
    let position = integer(position);
    let optional = |id: &Option<Uuid>| id.map_or(Bson::Null, |id| Bson::String(id.to_string()));
    let mut row = doc! {
        "_id": position,
        "position": position,
        "operation_id": operation.operation_id.to_string(),
        "service_name": &operation.service_name,
        "operation": operation.operation.as_str(),
        "entity_id": &operation.entity_id,
        "payload": to_bson(&operation.payload)?,
        "schema_version": i64::from(operation.schema_version),
        "correlation_id": operation.correlation_id.to_string(),
        "actor": operation.terms.actor.as_deref(),
        "owner": operation.terms.owner.as_deref(),
        "expected_version": operation.terms.expected_version.map(integer),
        "causation_id": optional(&operation.causation_id),
        "conflicts_with": optional(&operation.conflicts_with),
        "fingerprint": &operation.fingerprint,
        "accepted_at": date(operation.accepted_at),
        "creation_time": date(now),
        "execution_time": Bson::Null,
        "status": EntryStatus::Stored.as_str(),
    };
    if let Some(other) = &operation.terms.on_behalf_of {
        row.insert("on_behalf_of", other);
    }
    if operation.correlation_id != operation.operation_id {
        // Condition of the partial index on correlations; other entries are found by operation id.
        row.insert("is_correlated", true);
    }
    Ok(row)
}

pub(crate) fn from_row(row: &Document) -> Result<LogEntry, StoreError> {
    entry(row, Fields(row).json("payload")?)
}

/// Reads an entry without its payload, as projected by [`without_payload`].
pub(crate) fn summary(row: &Document) -> Result<LogEntry, StoreError> {
    entry(row, no_payload())
}

/// Returns the projection for [`summary`].
pub(crate) fn without_payload() -> Document {
    doc! { "payload": 0 }
}

fn entry(row: &Document, payload: Json) -> Result<LogEntry, StoreError> {
    let fields = Fields(row);
    Ok(LogEntry {
        position: fields.position("_id")?,
        creation_time: fields.time("creation_time")?,
        execution_time: fields.optional_time("execution_time"),
        status: fields.parsed("status", EntryStatus::parse)?,
        change: fields.optional_text("change").map(str::to_owned),
        reason: fields.optional_text("reason").map(str::to_owned),
        code: fields.optional_text("code").map(str::to_owned),
        parked: fields.optional_text("parked").map(str::to_owned),
        resolved_by: fields.optional_position("settled_by")?,
        operation: operation(&fields, payload)?,
    })
}

fn operation(fields: &Fields<'_>, payload: Json) -> Result<Operation, StoreError> {
    let uuid = |text: &str| Uuid::parse_str(text).ok();
    Ok(Operation {
        operation_id: fields.parsed("operation_id", uuid)?,
        service_name: fields.text("service_name")?.to_owned(),
        operation: fields.parsed("operation", Verb::parse)?,
        entity_id: fields.text("entity_id")?.to_owned(),
        payload,
        schema_version: fields.u32("schema_version")?,
        correlation_id: fields.parsed("correlation_id", uuid)?,
        terms: Terms {
            actor: fields.optional_text("actor").map(str::to_owned),
            on_behalf_of: fields.optional_text("on_behalf_of").map(str::to_owned),
            owner: fields.optional_text("owner").map(str::to_owned),
            expected_version: fields.optional_position("expected_version")?,
        },
        causation_id: fields.optional_text("causation_id").and_then(uuid),
        conflicts_with: fields.optional_text("conflicts_with").and_then(uuid),
        fingerprint: fields.text("fingerprint")?.to_owned(),
        accepted_at: fields.time("accepted_at")?,
    })
}
