//! AsyncAPI 3 document: the feed for clients, and the exchanges between the services.

use bakehouse_engine::model::frame::kinds;
use bakehouse_orders::{Document, Orders, Status};
use serde_json::{Value, json};
use url::Url;
use utoipa::openapi::{ComponentsBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::frames;
use super::openapi::forbid_other_members;

/// Returns the document; it has servers if the API's public URL is known.
pub(super) fn document(public_url: Option<&Url>) -> Value {
    let mut document = base_document();
    if let Some(url) = public_url {
        document["servers"] = servers(url);
        for (channel, server) in [
            ("feed", "api"),
            ("schedule", "broker"),
            ("stored", "broker"),
            ("executed", "broker"),
            ("baked", "broker"),
        ] {
            let server = json!({ "$ref": format!("#/servers/{server}") });
            document["channels"][channel]["servers"] = json!([server]);
        }
    }
    document
}

/// Returns the servers: the API under its public URL, and a broker with a variable host.
fn servers(url: &Url) -> Value {
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    let protocol = if url.scheme() == "https" { "wss" } else { "ws" };
    json!({
        "api": {
            "host": format!("{host}{port}"),
            "pathname": url.path().trim_end_matches('/'),
            "protocol": protocol,
        },
        "broker": {
            "host": "{host}",
            "protocol": "amqp",
            "description": "Message broker between the services (setting amqp.uri)",
            "variables": { "host": { "default": "localhost:5672" } },
        },
    })
}

fn base_document() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Bakehouse",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "All changes of all orders, in the order of the log and without gaps.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": {
            "feed": feed(),
            "schedule": schedule(),
            "stored": exchange("platform-events-scheduler", "platform-event.created.order",
                "Notice that the log has new entries", &["stored"]),
            "executed": exchange("data-source", "order.*",
                "Notice that operations have been executed", &["executed"]),
            "baked": exchange("orders-socket", "order.baked",
                "Frames published on the feed", &["baked"]),
        },
        "operations": {
            "follow": {
                "action": "send",
                "channel": { "$ref": "#/channels/feed" },
                "summary": "Messages to a subscriber",
                "messages": references("feed", &["welcome", "change", "rejection", "parking", "settlement", "live",
                    "position", "ping", "error"]),
            },
            "answer": {
                "action": "receive",
                "channel": { "$ref": "#/channels/feed" },
                "summary": "Messages from a subscriber",
                "messages": references("feed", &["pong", "subscribe"]),
            },
        },
        "components": { "schemas": schemas() },
    })
}

fn references(channel: &str, messages: &[&str]) -> Vec<Value> {
    let reference = |name| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") });
    messages.iter().map(reference).collect()
}

fn feed() -> Value {
    let kind = |name: &str| json!({ "const": name });
    let position = json!({ "type": "integer", "minimum": 0 });
    json!({
        "address": "/order-events",
        "description": "Websocket. With Accept: text/event-stream, the same events as server-sent \
            events, which resume with the header Last-Event-ID. Without since, the feed starts at the \
            current position; with since=0, at the beginning. When an order stops matching the filter \
            (for example because its customer changed), one last frame is sent, with left: true. \
            A message to the server may have up to 16 KiB. The server closes the connection of a \
            client that sends more than 10 messages or control frames, or more than one subscribe, \
            per second on average.",
        "bindings": { "ws": { "method": "GET", "query": feed_query() } },
        "messages": {
            "welcome": message("First message of every subscription", &json!({
                "type": kind("welcome"),
                "epoch": { "type": "string", "description": "Id of the log that the positions belong to" },
                "head": position,
                "heartbeat_s": { "type": "integer", "minimum": 0 },
            }), &[]),
            "change": { "title": "An order changed", "payload": frames::change() },
            "parking": { "title": "An operation was parked", "payload": frames::parking() },
            "settlement": { "title": "Parked operations were resolved without a change of the order",
                "payload": frames::settlement() },
            "rejection": { "title": "An operation was rejected", "payload": frames::rejection() },
            "live": message("Sent once, after all events up to this position have been sent", &json!({
                "type": kind("live"), "position": position,
            }), &[]),
            "position": message("Progress: no event up to this position matches the subscription", &json!({
                "type": kind("position"), "position": position,
            }), &[]),
            "ping": message("Heartbeat; answer it with pong", &json!({ "type": kind("ping") }), &[]),
            "error": message("Reason for closing the connection; the last message before the close", &json!({
                "type": kind("error"),
                "code": { "enum": [4001, 4005, 4008, 4010, 4400, 4401, 4403] },
                "message": { "type": "string" },
                "retry_after_ms": { "type": "integer", "minimum": 0,
                    "description": "Delay before reconnecting, in milliseconds; absent if reconnecting is useless" },
            }), &["retry_after_ms"]),
            "pong": message("Answer to a ping", &json!({ "type": kind("pong") }), &[]),
            "subscribe": message("Token, position and filter, all optional; answered by welcome", &json!({
                "type": kind("subscribe"),
                "token": { "type": "string",
                    "description": "Bearer token, for clients that cannot send headers" },
                "since": since(), "epoch": { "type": "string" },
                "order": { "type": "string" }, "customer": { "type": "string" },
                "types": { "type": "array", "items": { "enum": types() } },
            }), &["token", "since", "epoch", "order", "customer", "types"]),
        },
    })
}

/// Schema of a position, or of epoch and position as in the id of a server-sent event.
fn since() -> Value {
    json!({ "oneOf": [
        { "type": "integer", "minimum": 0 },
        { "type": "string", "pattern": "^.+:[0-9]+$", "description": "EPOCH:POSITION" },
    ] })
}

fn types() -> Vec<String> {
    kinds::<Orders>()
}

fn feed_query() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "since": since(),
            "epoch": { "type": "string" },
            "order": { "type": "string" },
            "customer": { "type": "string" },
            "type": { "description": "One or more event types, separated by commas",
                "type": "string" },
        },
    })
}

/// Returns a message whose payload is an object with exactly these members; all are required
/// except the optional ones.
fn message(title: &str, properties: &Value, optional: &[&str]) -> Value {
    json!({ "title": title, "payload": frames::object(properties, optional) })
}

/// Returns the channel of accepted operations. api-server publishes to the queue directly, not to
/// the exchange, so that queues of other programs cannot receive the operations instead.
fn schedule() -> Value {
    let key = "platform-event.schedule";
    let mut channel = exchange(
        "platform-events-scheduler",
        key,
        "Accepted operations that are not in the log yet",
        &["operation"],
    );
    channel["description"] = json!(
        "api-server publishes to this queue directly, through the default exchange. Messages that \
         other programs publish to the exchange platform-events-scheduler with the queue's name as \
         routing key reach the queue as well. Other queues bound to that exchange do not receive \
         the operations that api-server accepts."
    );
    channel["bindings"]["amqp"] = json!({
        "is": "queue",
        "queue": { "name": key, "durable": true, "exclusive": false, "autoDelete": false },
    });
    channel
}

fn exchange(name: &str, key: &str, title: &str, messages: &[&str]) -> Value {
    let messages = messages
        .iter()
        .map(|name| ((*name).to_owned(), service_message(name)));
    json!({
        "address": key,
        "title": title,
        "bindings": { "amqp": {
            "is": "routingKey",
            "exchange": { "name": name, "type": "topic", "durable": true },
        } },
        "messages": messages.collect::<serde_json::Map<_, _>>(),
    })
}

/// Returns the message with this name that services send to each other.
fn service_message(name: &str) -> Value {
    let position = json!({ "type": "integer", "minimum": 0 });
    let text = json!({ "type": "string" });
    let time = json!({ "type": "string", "format": "date-time" });
    let id = json!({ "type": "string", "format": "uuid" });
    match name {
        "operation" => message(
            "An accepted operation",
            &json!({
                "operation_id": id, "service_name": text,
                "operation": { "enum": ["INSERT", "UPDATE", "DELETE"] },
                "entity_id": text, "payload": { "type": "object" },
                "schema_version": { "type": "integer" }, "correlation_id": id, "causation_id": id,
                "conflicts_with": id, "fingerprint": text, "accepted_at": time,
                "terms": { "type": "object" },
            }),
            &["causation_id", "conflicts_with", "terms"],
        ),
        "stored" => message(
            "Last position of the log",
            &json!({ "head": position }),
            &[],
        ),
        "executed" => message(
            "Executed positions and the orders that changed",
            &json!({
                "from": position, "to": position,
                "ids": { "type": "array", "items": text },
            }),
            &[],
        ),
        _ => message(
            "Frames, in order and without gaps",
            &json!({
                "from": position, "frames": { "type": "array", "items": frame() },
            }),
            &[],
        ),
    }
}

/// Schema of a frame between data-baker and the feed; its body is what clients receive.
fn frame() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["position", "type", "entity_id", "body"],
        "properties": {
            "position": { "type": "integer", "minimum": 1 }, "type": text, "entity_id": text,
            "owner": text, "group": text, "body": { "type": "object" },
        },
    })
}

/// Schemas of the order's document and of everything it contains.
fn schemas() -> Value {
    let mut named: Vec<(String, RefOr<Schema>)> = Vec::new();
    Document::schemas(&mut named);
    let mut components = ComponentsBuilder::new()
        .schema("Order", Document::schema())
        .schema("Status", Status::schema());
    for (name, schema) in named {
        components = components.schema(name, schema);
    }
    let mut components = serde_json::to_value(components.build()).unwrap_or_default();
    forbid_other_members(&mut components["schemas"]);
    components["schemas"].take()
}
