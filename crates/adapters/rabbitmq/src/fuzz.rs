//! Property tests: notices with random edits, since every user of the broker may publish.

use bakehouse_engine::ports::{Notice, Topic};
use bakehouse_testkit::cases::cases;
use bakehouse_testkit::fuzz_input::{edits, mutate};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::notices::parse;

const NOTICES: [&str; 3] = [
    r#"{"head":7}"#,
    r#"{"from":3,"to":5,"ids":["o-1","o-2"]}"#,
    r#"{"from":3,"frames":[{"position":4,"type":"order.created","entity_id":"o","body":{"a":1.50}}]}"#,
];
const TOPICS: [Topic; 3] = [Topic::Stored, Topic::Executed, Topic::Baked];

/// Returns the content of a notice in the form of its message.
fn content(notice: &Notice) -> Value {
    match notice {
        Notice::Stored { head } => json!({ "head": head }),
        Notice::Executed { from, to, changes } => {
            assert!(changes.iter().all(|(kind, _)| kind == "order.created"));
            let ids: Vec<&String> = changes.iter().map(|(_, id)| id).collect();
            json!({ "from": from, "to": to, "ids": ids })
        }
        Notice::Baked { from, frames } => json!({ "from": from, "frames": frames }),
    }
}

/// Checks whether each member of the first value is in the second, which may have more.
fn is_part(part: &Value, whole: &Value) -> bool {
    match (part, whole) {
        (Value::Object(part), Value::Object(_)) => part
            .iter()
            .all(|(name, value)| is_part(value, &whole[name])),
        (Value::Array(part), Value::Array(whole)) => {
            part.len() == whole.len() && part.iter().zip(whole).all(|(one, two)| is_part(one, two))
        }
        _ => part == whole,
    }
}

proptest! {
    #![proptest_config(cases(4_000))]

    /// A notice is parsed to its content, under one topic only, or rejected.
    #[test]
    fn notices(which: u8, edits in edits()) {
        let bytes = mutate(&NOTICES, which, &edits);
        let notices = TOPICS.map(|topic| parse(topic, "order.created", &bytes));
        for (topic, notice) in TOPICS.into_iter().zip(&notices) {
            let Some(notice) = notice else { continue };
            prop_assert_eq!(notice.topic(), topic);
            // Numbers in a body may be too large for `Value`.
            if let Ok(message) = serde_json::from_slice::<Value>(&bytes) {
                let is_content = is_part(&content(notice), &message) || message.is_array();
                prop_assert!(is_content, "{}", message);
            }
        }
        if edits.is_empty() {
            let parsed = notices.map(|notice| notice.is_some());
            let which = usize::from(which) % NOTICES.len();
            prop_assert_eq!(parsed, [which == 0, which == 1, which == 2]);
        }
    }
}
