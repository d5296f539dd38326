//! Parsing of bodies, and the errors of invalid ones.

use bakehouse_orders::parse::{Defaults, Fault, Faults, place};
use bakehouse_orders::{Command, Draft};
use proptest::prelude::*;
use serde_json::json;

fn accept(body: &str) -> Draft {
    match place(body.as_bytes(), &Defaults::default()) {
        Ok(Command::Place(draft)) => draft,
        other => panic!("{body}: {other:?}"),
    }
}

fn faults(body: &str) -> Vec<(String, String)> {
    match place(body.as_bytes(), &Defaults::default()) {
        Err(Faults::Content(faults)) => faults
            .into_iter()
            .map(|Fault { pointer, detail }| (pointer, detail))
            .collect(),
        other => panic!("{body}: {other:?}"),
    }
}

fn fault(body: &str) -> (String, String) {
    let mut faults = faults(body);
    assert_eq!(faults.len(), 1, "{body}: {faults:?}");
    faults.remove(0)
}

fn with_product(product: &str) -> String {
    format!(r#"{{"products":[{product}]}}"#)
}

#[test]
fn a_minimal_order_gets_default_values() {
    let draft = accept(r#"{"products":[{"name":"Tea","price":3.5}]}"#);
    assert_eq!(draft.currency.to_string(), "EUR");
    assert_eq!(draft.products[0].quantity, 1);
    assert_eq!(draft.products[0].price.to_string(), "3.50");
    assert_eq!(
        (draft.date, draft.reference, draft.customer),
        (None, None, None)
    );
}

#[test]
fn a_customer_needs_at_least_one_member() {
    let with = |customer: &str| {
        let order = r#"{"products":[{"name":"Tea","price":1}],"customer":CUSTOMER}"#;
        order.replace("CUSTOMER", customer)
    };
    let draft = accept(&with(r#"{"name":"Ada","email":"ada@example.org"}"#));
    let customer = draft.customer.expect("a customer");
    assert_eq!((customer.id, customer.name), (None, Some("Ada".into())));
    for empty in ["{}", r#"{"id":null}"#] {
        assert_eq!(fault(&with(empty)).0, "/customer");
    }
}

/// In UTC, a date with an offset may be outside of the calendar: it could not be read back.
#[test]
fn a_date_must_be_valid_in_utc() {
    let with = |date: &str| {
        let order = r#"{"products":[{"name":"Tea","price":1}],"date":"DATE"}"#;
        order.replace("DATE", date)
    };
    for date in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z"] {
        let draft = accept(&with(date));
        let written = serde_json::to_string(&draft).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Draft>(&written).expect("the same"),
            draft
        );
    }
    for date in ["0000-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"] {
        assert_eq!(fault(&with(date)).0, "/date");
    }
}

/// A number that is whole only after rounding is rejected.
#[test]
fn a_quantity_is_not_rounded() {
    for quantity in [
        "1.9999999999999999999999999999999999e0",
        "1.99999999999999999999999999999999",
    ] {
        let product = format!(r#"{{"name":"Tea","price":1,"quantity":{quantity}}}"#);
        assert_eq!(fault(&with_product(&product)).0, "/products/0/quantity");
    }
}

/// Insignificant zeros never make a number too long, and whole numbers may have a fraction of zeros
/// or an exponent.
#[test]
fn insignificant_zeros_are_accepted() {
    let zeros = "0".repeat(60);
    for price in [
        format!("\"3.5{zeros}\""),
        format!("3.5{zeros}"),
        format!("35{zeros}e-61"),
        format!("0.{zeros}35e61"),
    ] {
        let product = format!(r#"{{"name":"Tea","price":{price}}}"#);
        let draft = accept(&with_product(&product));
        assert_eq!(draft.products[0].price.to_string(), "3.50", "{price}");
    }
    for quantity in [
        "2.0".to_owned(),
        "2e0".into(),
        "20e-1".into(),
        "0.2E+1".into(),
        format!("2.{zeros}"),
        format!("2{zeros}e-60"),
        format!("0.{zeros}2e61"),
    ] {
        let product = format!(r#"{{"name":"Tea","price":1,"quantity":{quantity}}}"#);
        assert_eq!(
            accept(&with_product(&product)).products[0].quantity,
            2,
            "{quantity}"
        );
    }
    for quantity in [
        "2.5",
        "2e-1",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "-2.0",
    ] {
        let product = format!(r#"{{"name":"Tea","price":1,"quantity":{quantity}}}"#);
        assert_eq!(
            fault(&with_product(&product)).0,
            "/products/0/quantity",
            "{quantity}"
        );
    }
}

/// Invisible characters can make one name look like another, or like none.
#[test]
fn invisible_characters_are_rejected_in_all_texts() {
    let hidden = [
        0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069, 0x200E, 0x200F,
        0x061C, 0x200B, 0x2060, 0xFEFF, 0x00AD, 0x2028, 0x2029, 0x180E, 0x3164, 0xFFF9, 0xE0041,
        0x7F, 0x85, 0xFFFE,
    ];
    for code in hidden {
        let c = char::from_u32(code).expect("a character");
        let text = format!("invoice{c}fdp.exe");
        let body = json!({
            "products": [{ "name": text, "sku": text, "price": 1 }],
            "customer": { "id": text, "name": text, "email": format!("a{c}b@example.org") },
            "reference": text,
        });
        let pointers: Vec<String> = faults(&body.to_string()).into_iter().map(|f| f.0).collect();
        let expected = [
            "/products/0/name",
            "/products/0/sku",
            "/customer/id",
            "/customer/name",
            "/customer/email",
            "/reference",
        ];
        assert_eq!(pointers, expected, "U+{code:04X}");
    }
    let bidi = with_product(r#"{"name":"a\u202eb","price":1}"#);
    assert!(
        fault(&bidi).1.ends_with("found U+202E"),
        "{:?}",
        fault(&bidi)
    );
    for blank in ["\u{200D}", "\u{FE0F}\u{200C}", "\u{A0}"] {
        let body = json!({ "products": [{ "name": blank, "price": 1 }] });
        assert_eq!(fault(&body.to_string()).0, "/products/0/name", "{blank:?}");
    }
}

/// Scripts and emoji need joiners.
#[test]
fn names_of_all_scripts_are_accepted() {
    for name in [
        "👩\u{200D}🍳 Brötchen",
        "نامه\u{200C}ای",
        "क्\u{200D}ष",
        "❤\u{FE0F} Tee",
        "שלום",
        "茶",
        "a\u{301}",
    ] {
        let body = json!({ "products": [{ "name": name, "price": 1 }] });
        assert_eq!(accept(&body.to_string()).products[0].name, name);
    }
}

#[test]
fn null_is_the_same_as_absent() {
    let with = accept(
        r#"{"reference":null,"customer":null,"date":null,"currency":null,
            "products":[{"name":"Tea","price":"1","sku":null,"quantity":null}]}"#,
    );
    assert_eq!(with, accept(r#"{"products":[{"name":"Tea","price":"1"}]}"#));
}

#[test]
fn prices_are_read_as_they_are_written() {
    // Exactly, and not as binary floats.
    for (sent, read) in [
        ("999999999999.99", "999999999999.99"),
        ("0.1", "0.10"),
        ("1E1", "10.00"),
    ] {
        let draft = accept(&with_product(&format!(
            r#"{{"name":"Tea","price":{sent}}}"#
        )));
        assert_eq!(draft.products[0].price.to_string(), read);
    }
}

#[test]
fn each_error_has_its_pointer() {
    let cases = [
        ("[]", "", "expected an object"),
        ("{}", "/products", "required"),
        (r#"{"products":null}"#, "/products", "required"),
        (
            r#"{"products":[]}"#,
            "/products",
            "expected an array of 1 to 1000 products",
        ),
        (
            r#"{"products":7}"#,
            "/products",
            "expected an array of 1 to 1000 products",
        ),
        (&with_product("7"), "/products/0", "expected an object"),
        (
            &with_product(r#"{"name":"Tea"}"#),
            "/products/0/price",
            "required",
        ),
        (
            &with_product(r#"{"price":1}"#),
            "/products/0/name",
            "required",
        ),
        (
            &with_product(r#"{"name":"Tea","price":-1}"#),
            "/products/0/price",
            "must not be negative",
        ),
        (
            &with_product(r#"{"name":"Tea","price":"1.005"}"#),
            "/products/0/price",
            "must have at most 2 digits after the decimal point in EUR",
        ),
        (
            &with_product(r#"{"name":"Tea","price":true}"#),
            "/products/0/price",
            "expected a decimal such as \"3.50\" or 3.50",
        ),
        (
            &with_product(r#"{"name":"Tea","price":1,"quantity":0}"#),
            "/products/0/quantity",
            "expected a whole number from 1 to 1000000",
        ),
        (
            &with_product(r#"{"name":"Tea","price":1,"quantity":1.5}"#),
            "/products/0/quantity",
            "expected a whole number from 1 to 1000000",
        ),
        (
            &with_product(r#"{"name":" ","price":1}"#),
            "/products/0/name",
            "expected text of 1 to 200 characters",
        ),
        (
            &with_product(r#"{"name":"a\u0000b","price":1}"#),
            "/products/0/name",
            "must not contain control characters",
        ),
        (
            &with_product(r#"{"name":"\ud800","price":1}"#),
            "/products/0/name",
            "expected text; it has an unpaired surrogate (\\ud800 to \\udfff)",
        ),
        (
            &with_product(r#"{"name":"Tea","price":1,"name":"Tee"}"#),
            "/products/0/name",
            "given more than once",
        ),
        (
            &with_product(r#"{"name":"Tea","price":1,"a/b~c":1}"#),
            "/products/0/a~1b~0c",
            "unknown field; known are name, price, quantity, sku",
        ),
    ];
    for (body, pointer, detail) in cases {
        assert_eq!(
            fault(body),
            (pointer.to_owned(), detail.to_owned()),
            "{body}"
        );
    }
}

#[test]
fn all_errors_are_returned_together() {
    let body = json!({
        "currency": "XXX",
        "products": [{ "price": -1 }, { "name": "Tea", "price": 1, "color": "red" }],
        "customer": { "email": "nobody", "phone": "030 123456" },
        "date": "yesterday",
        "colour": 1,
    });
    let pointers: Vec<String> = faults(&body.to_string()).into_iter().map(|f| f.0).collect();
    let expected = [
        "/currency",
        "/products/0/name",
        "/products/0/price",
        "/products/1/color",
        "/customer/email",
        "/customer/phone",
        "/date",
        "/colour",
    ];
    assert_eq!(pointers, expected);
}

#[test]
fn an_order_has_at_most_a_thousand_products() {
    let body = |count: usize| {
        let product = json!({ "name": "Tea", "price": "1" });
        json!({ "products": vec![product; count] }).to_string()
    };
    assert_eq!(accept(&body(1_000)).products.len(), 1_000);
    assert_eq!(fault(&body(1_001)).0, "/products");
}

#[test]
fn syntax_errors_have_their_line() {
    for body in ["{", "{\"products\":[}", "nope", "{} {}", "{\"a\":1,}"] {
        match place(body.as_bytes(), &Defaults::default()) {
            Err(Faults::Syntax(detail)) => assert!(detail.contains("line"), "{body}: {detail}"),
            other => panic!("{body}: {other:?}"),
        }
    }
    assert!(matches!(
        place(b"{\"a\":\"\xff\"}", &Defaults::default()),
        Err(Faults::Syntax(_))
    ));
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let body = format!(r#"{{"products":{deep}}}"#);
    assert!(place(body.as_bytes(), &Defaults::default()).is_err());
}

proptest! {
    /// Parsing never panics.
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = place(&bytes, &Defaults::default());
    }

    #[test]
    fn no_json_like_text_makes_it_panic(
        text in r#"\{("(products|customer|date|currency)":(\[|\{|"|1|-|null|,|\]|\}|e|\.|\\)*,?)*\}?"#
    ) {
        let _ = place(text.as_bytes(), &Defaults::default());
    }

    /// All spellings of an amount are equal.
    #[test]
    fn spellings_of_an_amount_are_one_amount(
        cents in 0_u64..1_000_000_000,
        leading in 0_usize..80,
        trailing in 0_usize..80,
        shift in -60_i64..60,
    ) {
        let exponent = -2 - shift - i64::try_from(trailing).expect("small");
        let (digits, zeros) = match shift {
            0.. => (cents.to_string() + &"0".repeat(usize::try_from(shift).expect("small")), 0),
            _ => (cents.to_string(), usize::try_from(-shift).expect("small")),
        };
        let lead = "0".repeat(leading);
        let trail = "0".repeat(trailing);
        let text = match zeros {
            0 => format!("\"{lead}{digits}{trail}e{exponent}\""),
            // A fraction that the exponent undoes.
            _ => {
                let width = zeros.max(digits.len());
                let padded = format!("{digits:0>width$}");
                let power = i64::try_from(width).expect("small") - 2;
                format!("\"{lead}0.{padded}{trail}e{power}\"")
            }
        };
        let product = format!(r#"{{"name":"Tea","price":{text}}}"#);
        let draft = accept(&with_product(&product));
        let expected = format!("{}.{:02}", cents / 100, cents % 100);
        prop_assert_eq!(draft.products[0].price.to_string(), expected);
    }

    /// A stored command is read back equal to the accepted one.
    #[test]
    fn a_command_survives_being_stored(
        name in "[a-zäß漢]{1,20}",
        cents in 0_u64..100_000_000,
        quantity in 1_u32..=1_000_000,
        has_customer: bool,
    ) {
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        let customer = has_customer.then(|| json!({ "id": name }));
        let body = json!({
            "products": [{ "name": name, "price": price, "quantity": quantity }],
            "customer": customer,
            "date": "2026-01-01T00:00:00+01:00",
        });
        let command = place(body.to_string().as_bytes(), &Defaults::default()).expect("valid");
        let stored = serde_json::to_string(&command).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Command>(&stored).expect("reads back"), command);
        prop_assert!(stored.contains(&price));
    }
}
