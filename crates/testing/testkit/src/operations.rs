//! Operations for tests.

use bakehouse_engine::model::ids;
use bakehouse_engine::{LogEntry, Operation, Terms, Timestamp, Verb, to_json};
use serde::Serialize;
use uuid::Uuid;

/// Returns an operation of the [`crate::counter`] domain on the entity `id`.
pub fn operation<C: Serialize>(id: &str, command: &C) -> Operation {
    with_identity(ids::fresh(), id, command)
}

/// Returns an operation like [`operation`] with the given identity.
pub fn with_identity<C: Serialize>(identity: Uuid, id: &str, command: &C) -> Operation {
    let payload = to_json(command).unwrap();
    Operation {
        operation_id: identity,
        service_name: "counter".into(),
        operation: Verb::Update,
        entity_id: id.into(),
        fingerprint: Operation::content_fingerprint(Verb::Update, id, &payload, &Terms::default()),
        payload,
        schema_version: 1,
        correlation_id: ids::fresh(),
        terms: Terms::default(),
        causation_id: None,
        conflicts_with: None,
        accepted_at: Timestamp::now(),
    }
}

/// Returns `count` operations on as many entities, `prefix-0`, `prefix-1`, …
pub fn many(prefix: &str, count: usize) -> Vec<Operation> {
    let add = crate::counter::Command::Add(1);
    (0..count)
        .map(|n| operation(&format!("{prefix}-{n}"), &add))
        .collect()
}

/// Returns the identities of the entries' operations.
pub fn identities(events: &[LogEntry]) -> Vec<Uuid> {
    events
        .iter()
        .map(|event| event.operation.operation_id)
        .collect()
}
