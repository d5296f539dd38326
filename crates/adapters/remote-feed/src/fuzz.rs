//! Property tests: messages of a feed with random edits.

use bakehouse_testkit::cases::cases;
use bakehouse_testkit::fuzz_input::{edits, mutate};
use proptest::prelude::*;
use serde_json::Value;

use crate::message::Message;

const MESSAGES: [&str; 4] = [
    r#"{"type":"welcome","epoch":"e","head":123,"heartbeat_s":25}"#,
    r#"{"type":"user.created","position":3,"user_id":"u","user":{"a":1}}"#,
    r#"{"type":"error","code":4010,"message":"gone"}"#,
    r#"{"type":"live","position":3}"#,
];

/// Asserts that the message has the content of its text.
fn assert_content(message: &Message, text: &Value) {
    let kind = text["type"].as_str();
    match message {
        Message::Welcome(head) => {
            assert_eq!(kind, Some("welcome"));
            assert_eq!(text["epoch"], head.epoch);
            assert_eq!(text["head"], head.position);
        }
        Message::Frame(frame) => {
            assert_eq!(kind, Some(frame.kind.as_str()));
            let (name, _) = frame.kind.split_once('.').expect("a frame's type");
            assert_eq!(text["position"], frame.position);
            assert_eq!(text[format!("{name}_id")], frame.entity_id);
        }
        Message::CloseReason(reason) => {
            assert_eq!(kind, Some("error"));
            assert_eq!(text["message"], reason.as_str());
        }
        Message::Live => assert_eq!(kind, Some("live")),
        Message::Ping => {
            let kind = kind.expect("a type");
            assert!(!["welcome", "live", "error"].contains(&kind) && !kind.contains('.'));
        }
    }
}

proptest! {
    #![proptest_config(cases(4_000))]

    /// Messages are parsed to their content, frames are passed on byte for byte, and a message with
    /// a missing member is rejected.
    #[test]
    fn messages(which: u8, edits in edits()) {
        let bytes = mutate(&MESSAGES, which, &edits);
        let text = String::from_utf8_lossy(&bytes);
        let parsed = serde_json::from_str::<Value>(&text);
        match Message::parse(&text) {
            Ok(message) => {
                if let Message::Frame(frame) = &message {
                    prop_assert_eq!(frame.body.get(), &*text);
                }
                if let Ok(parsed) = parsed {
                    assert_content(&message, &parsed);
                }
            }
            Err(error) => {
                prop_assert!(!edits.is_empty(), "{}: {}", text, error);
                let Ok(parsed) = parsed else { return Ok(()) };
                let kind = parsed["type"].as_str();
                let has_no_members = kind.is_some_and(|kind| kind == "live" || kind == "ping");
                prop_assert!(!has_no_members, "{}: {}", text, error);
            }
        }
    }
}
