//! Schemas of frames: what subscribers of the feed and webhooks are told.

use bakehouse_engine::Domain;
use bakehouse_engine::model::frame::{PARKED, REJECTED, kind};
use bakehouse_engine::model::resolution::{DISCARDED, RETRIED};
use bakehouse_orders::Orders;
use serde_json::{Value, json};

/// An object with these members, all of them unless they are optional, and no
/// others.
pub(super) fn object(properties: &Value, optional: &[&str]) -> Value {
    let names = properties
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str());
    let required: Vec<&str> = names.filter(|name| !optional.contains(name)).collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

/// Something happened to an order; to one that had been parked perhaps several
/// things at once.
pub(super) fn change() -> Value {
    let order = json!({ "$ref": "#/components/schemas/Order" });
    let mut change = frame(&one_of(Orders::CHANGES), "order", &order);
    change["properties"]["settled"] = settled();
    change["properties"]["left"] = json!({
        "const": true,
        "description": "The subscriber's filter no longer matches the order: this is the last it hears of it",
    });
    change
}

/// An operation was set aside.
pub(super) fn parking() -> Value {
    let text = json!({ "type": "string" });
    frame(&one_of(&[PARKED]), "reason", &text)
}

/// What had been parked was settled, without any change of the order.
pub(super) fn settlement() -> Value {
    frame(&one_of(&[RETRIED, DISCARDED]), "settled", &settled())
}

/// The types of these changes.
fn one_of(changes: &[&str]) -> Value {
    let kinds: Vec<_> = changes
        .iter()
        .map(|change| kind(Orders::NAME, change))
        .collect();
    json!({ "enum": kinds })
}

fn settled() -> Value {
    json!({ "type": "array", "items": object(&json!({
        "position": { "type": "integer", "minimum": 1 },
        "operation_id": { "type": "string", "format": "uuid" },
        "status": { "enum": ["executed", "rejected"] },
        "reason": { "type": "string" },
        "code": { "type": "string" },
    }), &["reason", "code"]) })
}

/// An operation was refused.
pub(super) fn rejection() -> Value {
    let text = json!({ "type": "string" });
    let mut rejection = frame(&one_of(&[REJECTED]), "reason", &text);
    rejection["properties"]["code"] = text;
    rejection
}

fn frame(kinds: &Value, outcome: &str, of: &Value) -> Value {
    object(
        &json!({
            "type": kinds,
            "position": { "type": "integer", "minimum": 0 },
            "order_id": { "type": "string" },
            "operation_id": { "type": "string", "format": "uuid" },
            "at": { "type": "string", "format": "date-time" },
            outcome: of,
        }),
        &[],
    )
}

/// What webhooks are told of either.
pub(super) fn webhook() -> Value {
    let told = |frame: Value| {
        let properties = json!({
            "type": frame["properties"]["type"],
            "timestamp": { "type": "string", "format": "date-time" },
            "data": frame,
        });
        object(&properties, &[])
    };
    json!({ "oneOf": [
        told(change()), told(rejection()), told(parking()), told(settlement()),
    ] })
}
