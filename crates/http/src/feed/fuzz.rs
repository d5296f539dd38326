//! What subscribers say, almost.

use bakehouse_testkit::mangle::{edits, mangle};
use proptest::prelude::*;

use super::wire::{ClientFrame, Farewell};
use super::wishes::Wishes;
use crate::menu::tests::menu;

const FRAMES: [&str; 4] = [
    r#"{"type":"pong"}"#,
    r#"{"type":"subscribe","since":0,"epoch":"e","types":["order.created"],"order":"o-1"}"#,
    r#"{"type":"subscribe","token":"a.b.c","customer":"c-1","since":18446744073709551615}"#,
    r#"{"type":"subscribe","types":[],"order":null}"#,
];
const QUERIES: [&str; 3] = [
    "since=0&epoch=e&order=o-1&customer=c-1&type=order.created,order.status",
    "since=18446744073709551615",
    "type=&epoch=%E2%82%AC+x",
];

/// Whoever is turned away is told why, in a frame that can be read.
fn is_explained(farewell: &Farewell) {
    assert!(!farewell.message().is_empty());
    let frame: serde_json::Value = serde_json::from_str(&farewell.frame()).expect("JSON");
    assert_eq!(frame["type"], "error");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn frames(which: u8, edits in edits()) {
        let bytes = mangle(&FRAMES, which, &edits);
        let text = String::from_utf8_lossy(&bytes);
        match ClientFrame::parse(&text) {
            Ok(ClientFrame::Subscribe(wish)) => {
                if let Err(farewell) = wish.wishes(&menu()) {
                    is_explained(&farewell);
                }
            }
            Ok(_) => {}
            Err(farewell) => is_explained(&farewell),
        }
    }

    #[test]
    fn queries(which: u8, edits in edits()) {
        let bytes = mangle(&QUERIES, which, &edits);
        if let Err(faults) = Wishes::parse(&String::from_utf8_lossy(&bytes), &menu()) {
            assert!(!faults.is_empty());
            assert!(faults.iter().all(|fault| !fault.detail.is_empty()));
        }
    }
}
