//! Schemas of the frames that the feed and webhooks deliver.

use bakehouse_engine::Domain;
use bakehouse_engine::model::frame::{PARKED, REJECTED, kind};
use bakehouse_engine::model::resolution::{DISCARDED, RETRIED};
use bakehouse_orders::Orders;
use serde_json::{Value, json};

/// Schema of an object with exactly these members; all are required except the optional ones.
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

/// Schema of a change of an order. A change that resolves parked operations may report several
/// of them.
pub(super) fn change() -> Value {
    let order = json!({ "$ref": "#/components/schemas/Order" });
    let mut change = frame(&types_of(Orders::CHANGES), "order", &order);
    change["properties"]["settled"] = settled();
    change["properties"]["left"] = json!({
        "const": true,
        "description": "The order no longer matches the subscriber's filter; this is its last frame",
    });
    change
}

/// Schema of the frame that reports a parked operation.
pub(super) fn parking() -> Value {
    let text = json!({ "type": "string" });
    frame(&types_of(&[PARKED]), "reason", &text)
}

/// Schema of the frame that reports resolved operations without a change of the order.
pub(super) fn settlement() -> Value {
    frame(&types_of(&[RETRIED, DISCARDED]), "settled", &settled())
}

/// Schema of the frame types of these changes.
fn types_of(changes: &[&str]) -> Value {
    let kinds: Vec<_> = changes
        .iter()
        .map(|change| kind(Orders::NAME, change))
        .collect();
    json!({ "enum": kinds })
}

/// Schema of the list of resolved operations.
fn settled() -> Value {
    json!({ "type": "array", "items": object(&json!({
        "position": { "type": "integer", "minimum": 1 },
        "operation_id": { "type": "string", "format": "uuid" },
        "status": { "enum": ["executed", "rejected"] },
        "reason": { "type": "string" },
        "code": { "type": "string" },
    }), &["reason", "code"]) })
}

/// Schema of the frame that reports a rejected operation.
pub(super) fn rejection() -> Value {
    let text = json!({ "type": "string" });
    let mut rejection = frame(&types_of(&[REJECTED]), "reason", &text);
    rejection["properties"]["code"] = text;
    rejection
}

/// Schema of a frame with one member for the outcome.
fn frame(kinds: &Value, outcome: &str, schema: &Value) -> Value {
    object(
        &json!({
            "type": kinds,
            "position": { "type": "integer", "minimum": 0 },
            "order_id": { "type": "string" },
            "operation_id": { "type": "string", "format": "uuid" },
            "at": { "type": "string", "format": "date-time" },
            outcome: schema,
        }),
        &[],
    )
}

/// Schema of a webhook's body: one of the frames in an envelope.
pub(super) fn webhook() -> Value {
    let envelope = |frame: Value| {
        let properties = json!({
            "type": frame["properties"]["type"],
            "timestamp": { "type": "string", "format": "date-time" },
            "data": frame,
        });
        object(&properties, &[])
    };
    json!({ "oneOf": [
        envelope(change()), envelope(rejection()), envelope(parking()), envelope(settlement()),
    ] })
}
