//! Bodies that are almost orders: what is accepted says what the body says, what is refused
//! is faulty where it is said to be. More of them with `PROPTEST_CASES=1000000`.

use bakehouse_orders::Command;
use bakehouse_orders::intake::{Defaults, Faults, amend, place, set_status};
use bakehouse_testkit::cases::cases;
use bakehouse_testkit::mangle::{edits, mangle};
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

/// Levels that a body may be nested in; see the intake.
const MAX_DEPTH: usize = 32;

/// A reader that decides nothing: `None`, the bytes are no JSON text that anybody reads here.
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

/// Texts of a body at these pointers; what is `null` is absent.
fn texts<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer).and_then(Value::as_str)
}

/// The command says what the body says, and nothing of the body has been left out.
fn is_faithful(body: &Value, command: &Command) {
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
        assert_eq!(texts(body, "/status"), Some(&*status.to_string()));
        return;
    };
    known(
        body,
        &["products", "customer", "currency", "date", "reference"],
    );
    let products = body["products"].as_array().expect("an array");
    assert_eq!(draft.products.len(), products.len());
    for (product, said) in draft.products.iter().zip(products) {
        known(said, &["name", "price", "quantity", "sku"]);
        assert_eq!(Some(product.name.as_str()), said["name"].as_str());
        assert_eq!(product.sku.as_deref(), said["sku"].as_str());
        // Of numbers only those are compared here that a float holds; amounts have tests of
        // their own.
        let quantity = said["quantity"].as_f64().unwrap_or(1.0);
        assert_eq!(f64::from(product.quantity), quantity);
        let price: f64 = product.price.to_string().parse().expect("a number");
        let said = &said["price"];
        let said = said.as_f64().or_else(|| said.as_str()?.parse().ok());
        let said = said.expect("a number");
        assert!(
            (price - said).abs() <= said.abs() * 1e-12,
            "{price} of {said}"
        );
    }
    let currency = texts(body, "/currency").unwrap_or("EUR");
    assert_eq!(String::from(draft.currency), currency);
    assert_eq!(draft.reference.as_deref(), texts(body, "/reference"));
    assert_eq!(draft.date.is_some(), texts(body, "/date").is_some());
    let customer = draft.customer.as_ref();
    for (pointer, value) in [
        ("/customer/id", customer.and_then(|c| c.id.as_deref())),
        ("/customer/name", customer.and_then(|c| c.name.as_deref())),
        ("/customer/email", customer.and_then(|c| c.email.as_deref())),
        ("/customer/phone", customer.and_then(|c| c.phone.as_deref())),
    ] {
        assert_eq!(value, texts(body, pointer), "{pointer} of {body}");
    }
}

/// The fault is of something that the body has, or lacks in an object that it has.
fn is_there(body: &Value, pointer: &str) -> bool {
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    body.pointer(pointer).is_some() || body.pointer(parent).is_some_and(Value::is_object)
}

/// Checks that a body is read whole, or refused with words that a sender can act on; `true` if it
/// was read.
fn holds(bytes: &[u8], read: Result<Command, Faults>) -> bool {
    let body = json(bytes);
    match read {
        Ok(command) => {
            let text = serde_json::to_string(&command).expect("JSON");
            let again: Command = serde_json::from_str(&text).expect("it can be read again");
            assert_eq!(again, command, "{}", String::from_utf8_lossy(bytes));
            is_faithful(&body.expect("JSON"), &command);
            true
        }
        Err(Faults::Content(faults)) => {
            assert!(!faults.is_empty());
            for fault in faults {
                let pointer = &fault.pointer;
                assert!(!fault.detail.is_empty());
                // A number may be too large for the other reader, and half a surrogate pair
                // is none of its strings.
                let Some(body) = &body else { continue };
                assert!(
                    is_there(body, pointer),
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

/// Runs all three readers on one body; tells which of them have read it.
fn readers(bytes: &[u8]) -> [bool; 3] {
    let defaults = Defaults::default();
    [
        holds(bytes, place(bytes, &defaults)),
        holds(bytes, amend(bytes, &defaults)),
        holds(bytes, set_status(bytes)),
    ]
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn bodies_that_are_almost_orders(which: u8, edits in edits()) {
        let [placed, amended, moved] = readers(&mangle(&ORDERS, which, &edits));
        prop_assert_eq!(placed, amended);
        prop_assert!(!(placed && moved));
    }

    #[test]
    fn bytes_that_are_anything(bytes: Vec<u8>) {
        // Not one of these can be an order.
        prop_assert_eq!(readers(&bytes), [false; 3]);
    }
}

/// Examples are read as they are, and refused with one decisive change to each.
#[test]
fn examples_are_read_and_what_is_wrong_with_others_is_named() {
    for (which, expected) in [(0, true), (3, false)] {
        let read = readers(ORDERS[which].as_bytes());
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

/// Both outcomes are common, so that the assertions on each of them are reached.
#[test]
fn of_almost_orders_many_are_read_and_many_refused() {
    let mut runner = TestRunner::deterministic();
    let strategy = (any::<u8>(), edits());
    let (mut read, mut syntax, mut content) = (0, 0, 0);
    for _ in 0..2_000 {
        let tree = strategy.new_tree(&mut runner).expect("a value");
        let (which, edits) = tree.current();
        match place(&mangle(&ORDERS, which, &edits), &Defaults::default()) {
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
