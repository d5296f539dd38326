//! Schemas of the bodies that are read by hand, in [`bakehouse_orders::parse`]:
//! JSON Schema of the rules that the reader keeps to.

use bakehouse_http::routes::parked::LONGEST_REASON;
use bakehouse_orders::money::{Currency, LIMIT};
use bakehouse_orders::{MOST_OF_ONE, MOST_PRODUCTS, Status};
use serde_json::{Value, json};

/// Characters that no text may have, in a pattern: control characters, and those that are not
/// seen. Beyond the basic multilingual plane patterns have no notation that all who read them
/// know; there are a few there as well.
const UNFIT: &str = r"\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff";
/// Characters that are no text by themselves, in a pattern.
const JOINERS: &str = r"\u180b-\u180d\u200c\u200d\ufe00-\ufe0f";

/// Digits after the point of the currencies that have most.
pub(super) const MOST_DIGITS: u8 = 4;

/// The body of an order. How many digits its prices may have depends on its
/// currency: one alternative for each number of digits, and so many, `default`,
/// where it names none.
pub(super) fn order(default: u8) -> Value {
    let alternatives = [0, 2, 3, MOST_DIGITS].map(|digits| order_in(digits, default));
    json!({ "anyOf": alternatives })
}

fn order_in(digits: u8, default: u8) -> Value {
    let of_these = Currency::all().filter(|currency| currency.digits() == digits);
    let mut currencies: Vec<Value> = of_these
        .map(|currency| json!(currency.to_string()))
        .collect();
    let mut required = vec!["products"];
    let mut currency = json!({ "type": "string", "enum": currencies });
    if default == digits {
        currencies.push(Value::Null);
        currency = json!({ "type": ["string", "null"], "enum": currencies });
    } else {
        required.push("currency");
    }
    json!({
        "type": "object",
        "title": format!("Order in a currency with {digits} digits after the point"),
        "additionalProperties": false,
        "required": required,
        "properties": {
            "products": {
                "type": "array", "minItems": 1, "maxItems": MOST_PRODUCTS, "items": product(digits),
            },
            "customer": customer(),
            "currency": currency,
            "date": { "type": ["string", "null"], "format": "date-time" },
            "reference": text(200, true),
        },
    })
}

fn product(digits: u8) -> Value {
    let step = 10_f64.powi(-i32::from(digits));
    // Zeros at either end mean nothing, however many there are.
    let fraction = match digits {
        0 => r"(\.0+)?".to_owned(),
        digits => format!(r"(\.[0-9]{{1,{digits}}}0*)?"),
    };
    let pattern = format!("^0*[0-9]{{1,12}}{fraction}$");
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "price"],
        "properties": {
            "name": text(200, false),
            "price": {
                "description": "Read exactly as it is written, never as a binary float",
                "anyOf": [
                    { "type": "string", "pattern": pattern },
                    { "type": "number", "minimum": 0, "exclusiveMaximum": LIMIT, "multipleOf": step },
                ],
            },
            "quantity": {
                "type": ["integer", "null"], "minimum": 1, "maximum": MOST_OF_ONE, "default": 1,
            },
            "sku": text(64, true),
        },
    })
}

fn customer() -> Value {
    json!({
        "type": ["object", "null"],
        "additionalProperties": false,
        "required": ["id"],
        "properties": {
            "id": text(100, false),
            "name": text(200, true),
            "email": {
                "type": ["string", "null"],
                "maxLength": 254,
                "pattern": format!("^[^ {UNFIT}]+@[^ @{UNFIT}]+$"),
            },
            "phone": { "type": ["string", "null"], "pattern": r"^\+[1-9][0-9]{6,14}$" },
        },
    })
}

/// Text that is not blank, without control characters and others that are not seen.
fn text(most: usize, is_optional: bool) -> Value {
    let kind = if is_optional {
        json!(["string", "null"])
    } else {
        json!("string")
    };
    let pattern = format!(r"^[^{UNFIT}]*[^\s{UNFIT}{JOINERS}][^{UNFIT}]*$");
    json!({ "type": kind, "minLength": 1, "maxLength": most, "pattern": pattern })
}

/// The body of a change of status.
pub(super) fn status() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["status"],
        "properties": { "status": { "type": "string", "enum": Status::ALL } },
    })
}

/// The body of an operator's giving an operation up.
pub(super) fn discard() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["reason"],
        "properties": { "reason": text(LONGEST_REASON, false) },
    })
}

/// The body of an upload.
pub(super) fn upload() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["file"],
        "properties": {
            "file": {
                "type": "string",
                "contentMediaType": "application/octet-stream",
                "description": "With a file name, and a type that is allowed here",
            },
        },
    })
}
