//! Messages that are almost operations: what stands in the schedule queue.

use bakehouse_pipeline::Operation;
use bakehouse_testkit::mangle::{edits, mangle};
use proptest::prelude::*;

const OPERATIONS: [&str; 2] = [
    r#"{"operation_id":"018d5e3c-0000-7000-8000-000000000001","service_name":"order","operation":"INSERT","entity_id":"o-1","payload":{"command":"place"},"schema_version":1,"correlation_id":"018d5e3c-0000-7000-8000-000000000001","fingerprint":"f","accepted_at":"2026-01-31T12:00:00.000Z"}"#,
    r#"{"operation_id":"018d5e3c-0000-7000-8000-000000000001","service_name":"order","operation":"DISCARD","entity_id":"o-1","payload":[1.50,null],"schema_version":4294967295,"correlation_id":"018d5e3c-0000-7000-8000-000000000001","terms":{"actor":"a","owner":"b","expected_version":3},"causation_id":null,"fingerprint":"f","accepted_at":"9999-12-31T23:59:59.999Z"}"#,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// What is understood is understood again, and says the same.
    #[test]
    fn operations(which: u8, edits in edits()) {
        let bytes = mangle(&OPERATIONS, which, &edits);
        let Ok(operation) = serde_json::from_slice::<Operation>(&bytes) else {
            return Ok(());
        };
        let text = serde_json::to_string(&operation).expect("JSON");
        let again: Operation = serde_json::from_str(&text).expect("it can be read again");
        assert_eq!(serde_json::to_string(&again).expect("JSON"), text);
        assert_eq!(again.payload.get(), operation.payload.get());
    }
}
