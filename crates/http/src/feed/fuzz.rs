//! Mangled `subscribe` frames and query strings.

use bakehouse_testkit::cases::cases;
use bakehouse_testkit::fuzz_input::{edits, mutate};
use proptest::prelude::*;
use serde_json::Value;

use super::messages::{ClientFrame, CloseReason};
use super::subscribe_request::{Filter, Since, SubscribeRequest};
use crate::api_definition::tests::api;

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

/// Checks that a close reason has a message, and that its error frame carries code and message.
fn assert_explained(reason: &CloseReason) {
    assert!(!reason.message().is_empty());
    let frame: Value = serde_json::from_str(&reason.frame()).expect("JSON");
    assert_eq!(frame["type"], "error");
    assert_eq!(frame["code"], reason.code());
    assert_eq!(frame["message"], reason.message());
}

/// Position that a value names, with or without an epoch before it.
fn position(since: &Value) -> Option<u64> {
    let text = since
        .as_str()
        .map(|text| text.rsplit(':').next().unwrap_or(text));
    since.as_u64().or_else(|| text?.parse().ok())
}

/// Checks that a request has the members of the frame.
fn assert_parsed_from(request: &SubscribeRequest, frame: &Value) {
    assert_eq!(request.since, position(&frame["since"]));
    let Filter {
        entity,
        group,
        kinds,
    } = &request.filter;
    let text = |name: &str| frame[name].as_str();
    // A UUID is normalised, so that only its presence can be compared.
    assert_eq!(entity.is_some(), text("order").is_some());
    assert_eq!(group.as_deref(), text("customer"));
    let types = frame["types"].as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!(&Value::from(kinds.clone()), &Value::from(types));
}

proptest! {
    #![proptest_config(cases(4_000))]

    /// A valid frame is parsed member by member; an invalid one is explained.
    #[test]
    fn frames(which: u8, edits in edits()) {
        let bytes = mutate(&FRAMES, which, &edits);
        let text = String::from_utf8_lossy(&bytes);
        let frame = serde_json::from_str::<Value>(&text);
        let parsed = ClientFrame::parse(&text);
        prop_assert!(parsed.is_err() || frame.is_ok(), "{}", text);
        if edits.is_empty() {
            prop_assert!(parsed.is_ok(), "{}", text);
        }
        match (parsed, frame) {
            (Ok(ClientFrame::Subscribe(subscribe)), Ok(frame)) => {
                prop_assert_eq!(&frame["type"], "subscribe");
                match subscribe.into_request(&api()) {
                    Ok(request) => assert_parsed_from(&request, &frame),
                    Err(reason) => assert_explained(&reason),
                }
            }
            (Ok(ClientFrame::Pong), Ok(frame)) => prop_assert_eq!(&frame["type"], "pong"),
            (Ok(_), Err(error)) => prop_assert!(false, "{}: {}", text, error),
            (Err(reason), _) => {
                assert_explained(&reason);
                prop_assert_eq!(reason.code(), 4400);
            }
        }
    }

    /// A valid query string is parsed parameter by parameter; each fault of an invalid one names
    /// its parameter.
    #[test]
    fn queries(which: u8, edits in edits()) {
        let bytes = mutate(&QUERIES, which, &edits);
        let text = String::from_utf8_lossy(&bytes);
        let pairs: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes())
            .into_owned()
            .collect();
        let value = |name: &str| {
            let found = pairs.iter().find(|(one, _)| one == name);
            found.map(|(_, value)| value.as_str())
        };
        match SubscribeRequest::parse(&text, &api()) {
            Ok(request) => {
                let since = value("since").map(Value::from);
                prop_assert_eq!(request.since, since.as_ref().and_then(position));
                prop_assert_eq!(request.filter.group.as_deref(), value("customer"));
                let known = ["since", "epoch", "order", "customer", "type"];
                prop_assert!(pairs.iter().all(|(name, _)| known.contains(&name.as_str())));
            }
            Err(faults) => {
                prop_assert!(!faults.is_empty());
                for fault in faults {
                    prop_assert!(!fault.detail.is_empty());
                    let name = fault.pointer.strip_prefix("/query/");
                    prop_assert!(name.is_some(), "{}", fault.pointer);
                }
            }
        }
    }

    /// The id of a server-sent event is parsed into its epoch and position, whatever characters
    /// the epoch has.
    #[test]
    fn ids_of_events_lead_back(epoch in "[^\\x00-\\x1f]{1,12}", at: u64) {
        let since = Since::parse(&format!("{epoch}:{at}")).expect("an id");
        let mut request = SubscribeRequest::default();
        request.resume(since);
        prop_assert_eq!(request.since, Some(at));
        prop_assert_eq!(request.epoch, Some(epoch));
        // Earlier versions sent positions alone.
        let mut request = SubscribeRequest::default();
        request.resume(Since::parse(&at.to_string()).expect("a position"));
        prop_assert_eq!((request.since, request.epoch), (Some(at), None));
    }
}
