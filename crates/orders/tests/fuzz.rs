//! Fuzzing with bodies that are almost valid: accepted commands match their bodies, and errors
//! point to existing values. Run more cases with `PROPTEST_CASES=1000000`.

use bakehouse_orders::Command;
use bakehouse_orders::parse::{Defaults, Faults, amend, place, set_status};
use bakehouse_testkit::cases::cases;
use bakehouse_testkit::fuzz_input::{edits, mutate};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;

const ORDERS: [&str; 4] = [
    r#"{"products":[{"name":"Tea","price":"3.50","quantity":2,"sku":"A-1"}]}"#,
    r#"{"products":[{"name":"Tea","price":3.5},{"name":"Brötchen \u00e4","price":"0"}],"currency":"JPY"}"#,
    r#"{"products":[{"name":"T","price":"1e2"}],"customer":{"id":"c-1","name":"Ada","email":"ada@example.org","phone":"+49 30 1234567"},"date":"2026-01-31T12:00:00+01:00","reference":"r"}"#,
    r#"{"status":"paid"}"#,
];

/// Maximum nesting depth of a body, as in `bakehouse_validation`.
const MAX_DEPTH: usize = 32;

/// Reference parser; `None` if the bytes are not JSON, or begin with a byte order mark.
fn json(bytes: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.starts_with('\u{feff}')).then_some(())?;
    serde_json::from_str(text).ok()
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Text of a body at a pointer; `None` if it is absent or `null`.
fn text_at<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer).and_then(Value::as_str)
}

/// Asserts that the command has all values of the body and no others.
fn assert_matches(body: &Value, command: &Command) {
    let known = |value: &Value, names: &[&str]| {
        let members = value.as_object().expect("an object");
        let unknown = members.keys().find(|name| !names.contains(&name.as_str()));
        assert_eq!(unknown, None, "{body}");
    };
    let (Command::Place(draft) | Command::Amend(draft)) = command else {
        known(body, &["status"]);
        let Command::SetStatus { status } = command else {
            panic!("{command:?} of {body}");
        };
        assert_eq!(text_at(body, "/status"), Some(&*status.to_string()));
        return;
    };
    known(
        body,
        &["products", "customer", "currency", "date", "reference"],
    );
    let products = body["products"].as_array().expect("an array");
    assert_eq!(draft.products.len(), products.len());
    for (product, sent) in draft.products.iter().zip(products) {
        known(sent, &["name", "price", "quantity", "sku"]);
        assert_eq!(Some(product.name.as_str()), sent["name"].as_str());
        assert_eq!(product.sku.as_deref(), sent["sku"].as_str());
        // Numbers are compared as floats here; other tests check amounts exactly.
        let quantity = sent["quantity"].as_f64().unwrap_or(1.0);
        assert_eq!(f64::from(product.quantity), quantity);
        let price: f64 = product.price.to_string().parse().expect("a number");
        let sent = &sent["price"];
        let sent = sent.as_f64().or_else(|| sent.as_str()?.parse().ok());
        let sent = sent.expect("a number");
        assert!(
            (price - sent).abs() <= sent.abs() * 1e-12,
            "{price} of {sent}"
        );
    }
    let currency = text_at(body, "/currency").unwrap_or("EUR");
    assert_eq!(String::from(draft.currency), currency);
    assert_eq!(draft.reference.as_deref(), text_at(body, "/reference"));
    assert_eq!(draft.date.is_some(), text_at(body, "/date").is_some());
    let customer = draft.customer.as_ref();
    for (pointer, value) in [
        ("/customer/id", customer.and_then(|c| c.id.as_deref())),
        ("/customer/name", customer.and_then(|c| c.name.as_deref())),
        ("/customer/email", customer.and_then(|c| c.email.as_deref())),
        ("/customer/phone", customer.and_then(|c| c.phone.as_deref())),
    ] {
        assert_eq!(value, text_at(body, pointer), "{pointer} of {body}");
    }
}

/// Checks whether a pointer refers to a value of the body, or to a missing member of an object in
/// it.
fn is_valid_pointer(body: &Value, pointer: &str) -> bool {
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    body.pointer(pointer).is_some() || body.pointer(parent).is_some_and(Value::is_object)
}

/// Asserts that a body is either parsed completely or rejected with valid errors. Returns `true` if
/// it was parsed.
fn check(bytes: &[u8], read: Result<Command, Faults>) -> bool {
    let body = json(bytes);
    match read {
        Ok(command) => {
            let text = serde_json::to_string(&command).expect("JSON");
            let again: Command = serde_json::from_str(&text).expect("a stored command");
            assert_eq!(again, command, "{}", String::from_utf8_lossy(bytes));
            assert_matches(&body.expect("JSON"), &command);
            true
        }
        Err(Faults::Content(faults)) => {
            assert!(!faults.is_empty());
            for fault in faults {
                let pointer = &fault.pointer;
                assert!(!fault.detail.is_empty());
                // The reference parser rejects numbers too large for a float, and unpaired
                // surrogates.
                let Some(body) = &body else { continue };
                assert!(
                    is_valid_pointer(body, pointer),
                    "{pointer}: {} in {body}",
                    fault.detail
                );
            }
            false
        }
        Err(Faults::Syntax(detail)) => {
            assert!(!detail.is_empty());
            let is_too_deep = |body: &Value| depth(body) > MAX_DEPTH;
            assert!(body.is_none_or(|body| is_too_deep(&body)), "{detail}");
            false
        }
    }
}

/// Runs all three parsers on one body. Returns which of them accepted it.
fn accepted_by(bytes: &[u8]) -> [bool; 3] {
    let defaults = Defaults::default();
    [
        check(bytes, place(bytes, &defaults)),
        check(bytes, amend(bytes, &defaults)),
        check(bytes, set_status(bytes)),
    ]
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn bodies_that_are_almost_orders(which: u8, edits in edits()) {
        let [placed, amended, set] = accepted_by(&mutate(&ORDERS, which, &edits));
        prop_assert_eq!(placed, amended);
        prop_assert!(!(placed && set));
    }

    #[test]
    fn bytes_that_are_anything(bytes: Vec<u8>) {
        // Random bytes are never a valid body.
        prop_assert_eq!(accepted_by(&bytes), [false; 3]);
    }
}

/// The examples are accepted unchanged, and rejected after one invalidating change.
#[test]
fn examples_are_read_and_what_is_wrong_with_others_is_named() {
    for (which, expected) in [(0, true), (3, false)] {
        let read = accepted_by(ORDERS[which].as_bytes());
        assert_eq!(read, [expected, expected, !expected], "{}", ORDERS[which]);
    }
    for (which, from, to, pointer) in [
        (0, "3.50", "3.505", "/products/0/price"),
        (0, "3.50", "-3.50", "/products/0/price"),
        (0, "2", "0", "/products/0/quantity"),
        (0, "2", "1.5", "/products/0/quantity"),
        (0, "\"Tea\"", "\" \"", "/products/0/name"),
        (0, "\"sku\"", "\"skew\"", "/products/0/skew"),
        (0, "\"name\":\"Tea\",", "", "/products/0/name"),
        (1, "JPY", "XAU", "/currency"),
        (1, "3.5", "3.5", "/products/0/price"),
        (2, "ada@", "@", "/customer/email"),
        (2, "+49 30", "+49 30", "/customer/phone"),
        (2, "T12", " 12:", "/date"),
    ] {
        let body = ORDERS[which].replacen(from, to, 1);
        let refused = place(body.as_bytes(), &Defaults::default());
        let Err(Faults::Content(faults)) = refused else {
            panic!("{body}: {refused:?}");
        };
        let pointers: Vec<&str> = faults.iter().map(|fault| &*fault.pointer).collect();
        assert!(pointers.contains(&pointer), "{body}: {pointers:?}");
    }
}

/// All outcomes are common, so that the assertions on each of them are reached.
#[test]
fn of_almost_orders_many_are_read_and_many_refused() {
    let mut runner = TestRunner::deterministic();
    let strategy = (any::<u8>(), edits());
    let (mut read, mut syntax, mut content) = (0, 0, 0);
    for _ in 0..2_000 {
        let tree = strategy.new_tree(&mut runner).expect("a value");
        let (which, edits) = tree.current();
        match place(&mutate(&ORDERS, which, &edits), &Defaults::default()) {
            Ok(_) => read += 1,
            Err(Faults::Syntax(_)) => syntax += 1,
            Err(Faults::Content(_)) => content += 1,
        }
    }
    assert!(
        read > 50 && syntax > 50 && content > 50,
        "{read} {syntax} {content}"
    );
}
