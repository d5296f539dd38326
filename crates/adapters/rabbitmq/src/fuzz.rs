//! Notices, almost: they come from whoever may publish.

use bakehouse_pipeline::ports::Topic;
use bakehouse_testkit::mangle::{edits, mangle};
use proptest::prelude::*;

use crate::notices::read;

const NOTICES: [&str; 3] = [
    r#"{"head":7}"#,
    r#"{"from":3,"to":5,"ids":["o-1","o-2"]}"#,
    r#"{"from":3,"frames":[{"position":4,"type":"order.created","entity_id":"o","body":{"a":1.50}}]}"#,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// Understood or passed over, never more.
    #[test]
    fn notices(which: u8, edits in edits()) {
        let bytes = mangle(&NOTICES, which, &edits);
        for topic in [Topic::Stored, Topic::Executed, Topic::Baked] {
            let _ = read(topic, "order.created", &bytes);
        }
    }
}
