//! JSON schemas of the request bodies that [`bakehouse_orders::parse`] validates.

use bakehouse_http::routes::parked::MAX_REASON_LENGTH;
use bakehouse_orders::money::{Currency, LIMIT};
use bakehouse_orders::{MAX_PRODUCTS, MAX_QUANTITY, Status};
use serde_json::{Value, json};

/// Characters that no text may contain, as part of a pattern: control characters and invisible
/// ones. Invisible characters beyond the basic multilingual plane are rejected as well, but not
/// listed here because there is no notation for them that all pattern dialects share.
const FORBIDDEN_CHARS: &str = r"\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff";
/// Characters that are not sufficient as text by themselves, as part of a pattern.
const JOINER_CHARS: &str = r"\u180b-\u180d\u200c\u200d\ufe00-\ufe0f";

/// Largest number of decimal places of any currency.
pub(super) const MAX_DECIMAL_PLACES: u8 = 4;

/// Schema of an order's body. The decimal places of its prices depend on its currency, so there is
/// one alternative for each number of decimal places; `default` applies if no currency is given.
pub(super) fn order(default: u8) -> Value {
    let alternatives =
        [0, 2, 3, MAX_DECIMAL_PLACES].map(|digits| order_with_digits(digits, default));
    json!({ "anyOf": alternatives })
}

/// Schema of an order in a currency with this number of decimal places.
fn order_with_digits(digits: u8, default: u8) -> Value {
    let matching = Currency::all().filter(|currency| currency.digits() == digits);
    let mut currencies: Vec<Value> = matching
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
        "title": format!("Order in a currency with {digits} decimal places"),
        "additionalProperties": false,
        "required": required,
        "properties": {
            "products": {
                "type": "array", "minItems": 1, "maxItems": MAX_PRODUCTS, "items": product(digits),
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
    // Any number of leading and trailing zeros is allowed.
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
                "description": "Decimal amount; parsed exactly, never as a binary floating-point number",
                "anyOf": [
                    { "type": "string", "pattern": pattern },
                    { "type": "number", "minimum": 0, "exclusiveMaximum": LIMIT, "multipleOf": step },
                ],
            },
            "quantity": {
                "type": ["integer", "null"], "minimum": 1, "maximum": MAX_QUANTITY, "default": 1,
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
                "pattern": format!("^[^ {FORBIDDEN_CHARS}]+@[^ @{FORBIDDEN_CHARS}]+$"),
            },
            "phone": { "type": ["string", "null"], "pattern": r"^\+[1-9][0-9]{6,14}$" },
        },
    })
}

/// Schema of text that is not blank and has no control or invisible characters.
fn text(max_chars: usize, is_optional: bool) -> Value {
    let kind = if is_optional {
        json!(["string", "null"])
    } else {
        json!("string")
    };
    let pattern = format!(
        r"^[^{FORBIDDEN_CHARS}]*[^\s{FORBIDDEN_CHARS}{JOINER_CHARS}][^{FORBIDDEN_CHARS}]*$"
    );
    json!({ "type": kind, "minLength": 1, "maxLength": max_chars, "pattern": pattern })
}

/// Schema of the body of a status change.
pub(super) fn status() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["status"],
        "properties": { "status": { "type": "string", "enum": Status::ALL } },
    })
}

/// Schema of the body that discards a parked operation.
pub(super) fn discard() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["reason"],
        "properties": { "reason": text(MAX_REASON_LENGTH, false) },
    })
}

/// Schema of the body of an upload.
pub(super) fn upload() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["file"],
        "properties": {
            "file": {
                "type": "string",
                "contentMediaType": "application/octet-stream",
                "description": "File with a file name and an accepted media type",
            },
        },
    })
}
