//! Fuzz tests of operations as messages of the schedule queue.

use bakehouse_engine::{Operation, Timestamp, Verb};
use bakehouse_testkit::cases::cases;
use bakehouse_testkit::fuzz_input::{edits, mutate};
use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

const OPERATIONS: [&str; 2] = [
    r#"{"operation_id":"018d5e3c-0000-7000-8000-000000000001","service_name":"order","operation":"INSERT","entity_id":"o-1","payload":{"command":"place"},"schema_version":1,"correlation_id":"018d5e3c-0000-7000-8000-000000000001","fingerprint":"f","accepted_at":"2026-01-31T12:00:00.000Z"}"#,
    r#"{"operation_id":"018d5e3c-0000-7000-8000-000000000001","service_name":"order","operation":"DISCARD","entity_id":"o-1","payload":[1.50,null],"schema_version":4294967295,"correlation_id":"018d5e3c-0000-7000-8000-000000000001","terms":{"actor":"a","owner":"b","expected_version":3},"causation_id":null,"fingerprint":"f","accepted_at":"9999-12-31T23:59:59.999Z"}"#,
];

/// Required members of an operation.
const REQUIRED: [&str; 9] = [
    "operation_id",
    "service_name",
    "operation",
    "entity_id",
    "payload",
    "schema_version",
    "correlation_id",
    "fingerprint",
    "accepted_at",
];

/// Checks whether the message has all required members, and all members in a valid form.
fn is_operation(message: &Value) -> bool {
    let text = |name: &str| message[name].as_str().unwrap_or_default();
    let is_uuid = |name: &str| Uuid::parse_str(text(name)).is_ok();
    let is_optional =
        |value: &Value, is_valid: &dyn Fn(&Value) -> bool| value.is_null() || is_valid(value);
    let is_text = |value: &Value| value.is_string();
    let terms = &message["terms"];
    let is_id = |value: &Value| Uuid::parse_str(value.as_str().unwrap_or_default()).is_ok();
    message.is_object()
        && REQUIRED.iter().all(|name| message.get(name).is_some())
        && ["service_name", "entity_id", "fingerprint"]
            .iter()
            .all(|name| message[*name].is_string())
        && is_uuid("operation_id")
        && is_uuid("correlation_id")
        && Verb::parse(text("operation")).is_some()
        && Timestamp::parse(text("accepted_at")).is_ok()
        && message["schema_version"]
            .as_u64()
            .is_some_and(|version| u32::try_from(version).is_ok())
        && (message.get("terms").is_none() || terms.is_object())
        && ["actor", "on_behalf_of", "owner"]
            .iter()
            .all(|name| is_optional(&terms[*name], &is_text))
        && is_optional(&terms["expected_version"], &Value::is_u64)
        && is_optional(&message["causation_id"], &is_id)
        && is_optional(&message["conflicts_with"], &is_id)
}

/// Checks whether a member may occur twice, which [`Value`] accepts and operations do not.
fn has_duplicate_member(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let optional = [
        "terms",
        "causation_id",
        "conflicts_with",
        "actor",
        "owner",
        "on_behalf_of",
    ];
    let mut names = REQUIRED
        .iter()
        .chain(&optional)
        .chain(&["expected_version"]);
    names.any(|name| text.matches(&format!("\"{name}\"")).count() > 1)
}

/// Asserts that the operation has the members of the message.
fn assert_same_members(operation: &Operation, message: &Value) {
    let written = serde_json::to_value(operation).expect("JSON");
    for name in [
        "service_name",
        "operation",
        "entity_id",
        "schema_version",
        "fingerprint",
    ] {
        assert_eq!(written[name], message[name], "{name}");
    }
    let id = |name: &str| Uuid::parse_str(message[name].as_str()?).ok();
    assert_eq!(Some(operation.operation_id), id("operation_id"));
    assert_eq!(Some(operation.correlation_id), id("correlation_id"));
    assert_eq!(operation.causation_id, id("causation_id"));
    assert_eq!(operation.conflicts_with, id("conflicts_with"));
    for name in ["actor", "owner", "on_behalf_of", "expected_version"] {
        assert_eq!(written["terms"][name], message["terms"][name], "{name}");
    }
    assert_eq!(written["payload"], message["payload"]);
}

proptest! {
    #![proptest_config(cases(4_000))]

    /// A valid message is read with all of its members and survives a round trip; a rejected one is
    /// not a valid operation.
    #[test]
    fn operations(which: u8, edits in edits()) {
        let bytes = mutate(&OPERATIONS, which, &edits);
        // `Value` rejects some numbers that are too large.
        let message = serde_json::from_slice::<Value>(&bytes).ok();
        let Ok(operation) = serde_json::from_slice::<Operation>(&bytes) else {
            let is_invalid = message.is_none_or(|message| !is_operation(&message));
            prop_assert!(is_invalid || has_duplicate_member(&bytes), "{}", String::from_utf8_lossy(&bytes));
            return Ok(());
        };
        // Terms may also be an array.
        let is_plain = |message: &Value| !has_duplicate_member(&bytes) && !message["terms"].is_array();
        if let Some(message) = message.filter(is_plain) {
            prop_assert!(is_operation(&message), "{}", message);
            assert_same_members(&operation, &message);
        }
        let text = serde_json::to_string(&operation).expect("JSON");
        let again: Operation = serde_json::from_str(&text).expect("it can be read again");
        prop_assert_eq!(serde_json::to_string(&again).expect("JSON"), text);
        prop_assert_eq!(again.payload.get(), operation.payload.get());
    }
}

/// Operations without any one of their required members are rejected.
#[test]
fn every_required_member_is_needed() {
    for text in OPERATIONS {
        let operation: Operation = serde_json::from_str(text).expect("an operation");
        let message: Value = serde_json::from_str(text).expect("JSON");
        assert_same_members(&operation, &message);
        for name in REQUIRED {
            let mut message = message.clone();
            message.as_object_mut().expect("an object").remove(name);
            let read = serde_json::from_str::<Operation>(&message.to_string());
            assert!(read.is_err(), "without {name}");
        }
    }
}
