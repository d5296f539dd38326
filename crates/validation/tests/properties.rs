//! Properties: bodies are compared with another parser and with other spellings of the same
//! value.

use bakehouse_testkit::cases::cases;
use bakehouse_testkit::fuzz_input::{edits, mutate};
use bakehouse_validation::{ExactDecimal, JsonNode, MAX_DEPTH, canonical, read, text};
use proptest::prelude::*;
use serde_json::Value;

const BODIES: [&str; 3] = [
    r#"{"a":[1,{"b":null,"c":"\u00e4"}],"d":true,"e":"x\n"}"#,
    r#"[[["deep"],-0.5e-3],{},[]]"#,
    r#"{"name":"Tea","other":[{"~/":1}]}"#,
];

/// Values without fractions, whose spelling the canonical form keeps.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map("[a-cä\"\\\\]{0,2}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Writes a value with another spelling: members in reverse order, whitespace, and every character
/// as an escape.
fn rewrite(value: &Value, blank: &str) -> String {
    let join = |parts: Vec<String>| parts.join(&format!("{blank},{blank}"));
    match value {
        Value::Array(items) => {
            let items = items.iter().map(|item| rewrite(item, blank)).collect();
            format!("[{blank}{}{blank}]", join(items))
        }
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                format!("{}{blank}:{}", escape(name), rewrite(value, blank))
            };
            format!(
                "{{{}{blank}}}",
                join(members.iter().rev().map(member).collect())
            )
        }
        Value::String(text) => escape(text),
        other => other.to_string(),
    }
}

fn escape(text: &str) -> String {
    let units: String = text
        .encode_utf16()
        .map(|unit| format!("\\u{unit:04X}"))
        .collect();
    format!("\"{units}\"")
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    /// All spellings of a value have the same canonical form.
    #[test]
    fn a_value_has_one_canonical_text(value in values(), blank in "[ \t\r\n]{0,3}") {
        let one = canonical(value.to_string().as_bytes());
        prop_assert!(one.is_some());
        prop_assert_eq!(canonical(rewrite(&value, &blank).as_bytes()), one);
    }

    #[test]
    fn different_values_have_different_canonical_texts(one in values(), other in values()) {
        let text = |value: &Value| canonical(value.to_string().as_bytes());
        prop_assert_eq!(text(&one) == text(&other), one == other);
    }

    /// Both parsers accept the same bodies, except those that are nested too deeply or begin with a
    /// byte order mark, numbers that a float cannot hold, and unpaired surrogates.
    #[test]
    fn bodies_are_json_and_nothing_else(which: u8, edits in edits()) {
        let bytes = mutate(&BODIES, which, &edits);
        let value = serde_json::from_slice::<Value>(&bytes);
        let body = String::from_utf8_lossy(&bytes);
        match (JsonNode::root(&bytes), value) {
            (Ok(node), Ok(value)) => prop_assert_eq!(node.items().is_some(), value.is_array()),
            (Ok(_), Err(error)) => {
                let is_larger = body.contains("999") || body.contains("\\ud8") || error.is_data();
                prop_assert!(is_larger, "{}: {}", body, error);
            }
            (Err(why), Ok(value)) => {
                let is_refused = depth(&value) > MAX_DEPTH || body.starts_with('\u{feff}');
                prop_assert!(is_refused, "{}: {}", body, why);
            }
            (Err(why), Err(_)) => {
                prop_assert!(!why.is_empty());
                let is_internal = why.contains("EOF") || why.contains('`');
                prop_assert!(!is_internal, "{}: {}", body, why);
            }
        }
    }

    /// Exactly one member `n` is accepted; every other member is reported with its pointer.
    #[test]
    fn members_are_taken_once_and_no_other_is_passed_over(names in prop::collection::vec("[nm~/]{1,2}", 0..4)) {
        let members: Vec<String> = names.iter().map(|name| format!("{name:?}:\"x\"")).collect();
        let body = format!("{{{}}}", members.join(","));
        let taken = read(body.as_bytes(), &["n"], |members, faults| {
            text(&members.require("n", faults)?, 5, faults)
        });
        let is_alone = names == ["n"];
        prop_assert_eq!(taken.is_ok(), is_alone, "{}: {:?}", body, taken);
        if let Err(bakehouse_validation::Faults::Content(faults)) = taken {
            let pointers: Vec<String> = faults.into_iter().map(|fault| fault.pointer).collect();
            let unescaped = |pointer: &String| pointer[1..].replace("~1", "/").replace("~0", "~");
            let named: Vec<String> = pointers.iter().map(unescaped).collect();
            for name in names.iter().filter(|name| *name != "n") {
                prop_assert!(named.contains(name), "{}: {:?}", body, pointers);
            }
        }
    }

    /// Compares with an integer times a power of ten.
    #[test]
    fn a_decimal_is_the_number_that_is_written(
        units in 0..1_000_000_000_u64, scale in 0..9_u32, shift in -9..9_i32, is_negative: bool,
    ) {
        let divisor = 10_u64.pow(scale);
        let width = scale as usize;
        let sign = if is_negative { "-" } else { "" };
        let fraction = match scale {
            0 => String::new(),
            _ => format!(".{:0width$}", units % divisor),
        };
        let text = format!("{sign}{}{fraction}e{shift}", units / divisor);
        let decimal = ExactDecimal::parse(&text).expect("a number");
        prop_assert_eq!(decimal.is_negative, is_negative && units > 0);
        // In units of 10^-18 the number is an integer for every shift.
        let power = u32::try_from(18 + shift - i32::try_from(scale).expect("small"));
        let expected = u128::from(units) * 10_u128.pow(power.expect("not below 0"));
        prop_assert_eq!(decimal.magnitude_at(18), Some(expected));
        let is_whole = expected.is_multiple_of(10_u128.pow(18));
        prop_assert_eq!(decimal.fraction_digits() == 0, is_whole);
        prop_assert_eq!(decimal.as_integer().is_some(), is_whole);
    }
}
