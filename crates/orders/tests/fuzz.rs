//! Bodies that are almost orders. More of them with `PROPTEST_CASES=1000000`.

use bakehouse_orders::Command;
use bakehouse_orders::intake::{Defaults, Faults, amend, place, set_status};
use bakehouse_testkit::mangle::{edits, mangle};
use proptest::prelude::*;

const ORDERS: [&str; 4] = [
    r#"{"products":[{"name":"Tea","price":"3.50","quantity":2,"sku":"A-1"}]}"#,
    r#"{"products":[{"name":"Tea","price":3.5},{"name":"Brötchen \u00e4","price":"0"}],"currency":"JPY"}"#,
    r#"{"products":[{"name":"T","price":"1e2"}],"customer":{"id":"c-1","name":"Ada","email":"ada@example.org","phone":"+49 30 1234567"},"date":"2026-01-31T12:00:00+01:00","reference":"r"}"#,
    r#"{"status":"paid"}"#,
];

/// It is read whole, or refused with words that a sender can do something with.
fn holds(bytes: &[u8], read: Result<Command, Faults>) {
    match read {
        Ok(command) => {
            let text = serde_json::to_string(&command).expect("JSON");
            let again: Command = serde_json::from_str(&text).expect("it can be read again");
            assert_eq!(again, command, "{}", String::from_utf8_lossy(bytes));
        }
        Err(Faults::Content(faults)) => {
            assert!(!faults.is_empty());
            for fault in faults {
                assert!(fault.pointer.is_empty() || fault.pointer.starts_with('/'));
                assert!(!fault.detail.is_empty());
            }
        }
        Err(Faults::Syntax(detail)) => assert!(!detail.is_empty()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn bodies_that_are_almost_orders(which: u8, edits in edits()) {
        let bytes = mangle(&ORDERS, which, &edits);
        let defaults = Defaults::default();
        holds(&bytes, place(&bytes, &defaults));
        holds(&bytes, amend(&bytes, &defaults));
        holds(&bytes, set_status(&bytes));
    }

    #[test]
    fn bytes_that_are_anything(bytes: Vec<u8>) {
        holds(&bytes, place(&bytes, &Defaults::default()));
    }
}
