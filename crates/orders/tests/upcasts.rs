//! Reading of stored commands of this and of earlier schema versions.

use bakehouse_engine::Domain;
use bakehouse_orders::parse::{Defaults, amend, place};
use bakehouse_orders::{Command, File, Orders, Status};
use bakehouse_testkit::cases::cases;
use proptest::prelude::*;
use serde_json::json;

fn commands() -> impl Strategy<Value = Command> {
    let text = "[a-zä漢\"]{1,9}";
    let draft = (
        text,
        0..100_000_u32,
        1..1_000_u32,
        any::<bool>(),
        any::<bool>(),
    );
    let draft = draft.prop_map(|(name, cents, quantity, has_customer, is_new)| {
        let body = json!({
            "products": [{ "name": name, "price": f64::from(cents).to_string(), "quantity": quantity }],
            "customer": has_customer.then(|| json!({ "id": name })),
            "reference": (!has_customer).then_some(name),
        });
        let read = if is_new { place } else { amend };
        read(body.to_string().as_bytes(), &Defaults::default()).expect("an order")
    });
    let file = (text, any::<u64>()).prop_map(|(name, size)| {
        Command::Attach(File {
            id: name.clone(),
            media_type: "text/plain".into(),
            sha256: "0".repeat(64),
            name,
            size,
        })
    });
    let statuses = vec![
        Status::Paid,
        Status::Shipped,
        Status::Delivered,
        Status::Cancelled,
    ];
    let statuses = prop::sample::select(statuses);
    prop_oneof![
        draft,
        file,
        statuses.prop_map(|status| Command::SetStatus { status }),
        text.prop_map(|id| Command::Detach { id }),
        Just(Command::Delete),
    ]
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// A stored command keeps its meaning under the version it was written with. Read as version 1,
    /// only `delete` differs.
    #[test]
    fn commands_are_read_as_what_they_meant(command in commands()) {
        let text = serde_json::to_string(&command).expect("JSON");
        let version = Orders::version_of(&command);
        prop_assert!((1..=Orders::SCHEMA_VERSION).contains(&version));
        let again = Orders::upcast(version, &text).expect("read");
        prop_assert_eq!(&again, &command);
        let first = Orders::upcast(1, &text).expect("read");
        match &command {
            Command::Delete => prop_assert_eq!(first, Command::DeleteAndCancel),
            _ => prop_assert_eq!(&first, &command),
        }
        prop_assert_eq!(Orders::verb(&again), command.verb());
    }
}

/// Payloads exactly as programs of each version have stored them.
#[test]
fn what_released_programs_have_stored_is_read() {
    for (version, text, expected) in [
        (1, r#"{"command":"delete"}"#, Command::DeleteAndCancel),
        (2, r#"{"command":"delete"}"#, Command::Delete),
        (
            1,
            r#"{"command":"set_status","status":"paid"}"#,
            Command::SetStatus {
                status: Status::Paid,
            },
        ),
        (
            1,
            r#"{"command":"detach","id":"f"}"#,
            Command::Detach { id: "f".into() },
        ),
    ] {
        assert_eq!(
            Orders::upcast(version, text).expect("read"),
            expected,
            "{text}"
        );
    }
    let placed = r#"{"command":"place","products":[{"name":"Tea","price":"3.50","quantity":2}],"currency":"EUR"}"#;
    let Command::Place(draft) = Orders::upcast(1, placed).expect("read") else {
        panic!("another command");
    };
    assert_eq!(draft.products[0].price.to_string(), "3.50");
    assert!(Orders::upcast(1, r#"{"command":"melt"}"#).is_err());
}
