//! Feeds of other services, almost.

use bakehouse_testkit::mangle::{edits, mangle};
use proptest::prelude::*;

use crate::message::Message;

const MESSAGES: [&str; 4] = [
    r#"{"type":"welcome","epoch":"e","head":123,"heartbeat_s":25}"#,
    r#"{"type":"user.created","position":3,"user_id":"u","user":{"a":1}}"#,
    r#"{"type":"error","code":4010,"message":"gone"}"#,
    r#"{"type":"live","position":3}"#,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// A frame that is understood is passed on as it came.
    #[test]
    fn messages(which: u8, edits in edits()) {
        let bytes = mangle(&MESSAGES, which, &edits);
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(Message::Frame(frame)) = Message::parse(&text) {
            assert_eq!(frame.body.get(), text);
        }
    }
}
