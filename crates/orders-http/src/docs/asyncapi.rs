//! AsyncAPI 3: the feed that clients follow, and the exchanges between the
//! services.

use bakehouse_engine::model::frame::kinds;
use bakehouse_orders::{Document, Orders, Status};
use serde_json::{Value, json};
use url::Url;
use utoipa::openapi::{ComponentsBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::frames;
use super::openapi::close;

/// The document; with servers where the API's public URL is known.
pub(super) fn document(public_url: Option<&Url>) -> Value {
    let mut document = described();
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

/// The API under its public URL, and a broker that is the operator's to name.
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
            "description": "The broker between the services (amqp.uri)",
            "variables": { "host": { "default": "localhost:5672" } },
        },
    })
}

fn described() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Bakehouse",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every change of every order, in the order of the log, without gaps.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "channels": {
            "feed": feed(),
            "schedule": schedule(),
            "stored": exchange("platform-events-scheduler", "platform-event.created.order",
                "A hint that the log has grown", &["stored"]),
            "executed": exchange("data-source", "order.*",
                "A hint that operations have been executed", &["executed"]),
            "baked": exchange("orders-socket", "order.baked",
                "Frames for the feed", &["baked"]),
        },
        "operations": {
            "follow": {
                "action": "send",
                "channel": { "$ref": "#/channels/feed" },
                "summary": "What a subscriber is told",
                "messages": references("feed", &["welcome", "change", "rejection", "parking", "settlement", "live",
                    "position", "ping", "error"]),
            },
            "answer": {
                "action": "receive",
                "channel": { "$ref": "#/channels/feed" },
                "summary": "What a subscriber may say",
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
        "description": "A websocket; the same as server-sent events with Accept: text/event-stream, \
            which resume by Last-LogEntry-ID. Without since it starts now; with since=0 at the beginning. \
            An order that leaves the filter (another customer) is told once more, with left: true. \
            A message may have 16 KiB; more than 10 messages or control frames, or one subscribe, a \
            second in the long run end the connection.",
        "bindings": { "ws": { "method": "GET", "query": feed_query() } },
        "messages": {
            "welcome": message("First of all", &json!({
                "type": kind("welcome"),
                "epoch": { "type": "string", "description": "Which log the positions are of" },
                "head": position,
                "heartbeat_s": { "type": "integer", "minimum": 0 },
            }), &[]),
            "change": { "title": "Something happened to an order", "payload": frames::change() },
            "parking": { "title": "An operation was set aside", "payload": frames::parking() },
            "settlement": { "title": "What had been set aside was settled",
                "payload": frames::settlement() },
            "rejection": { "title": "An operation was refused", "payload": frames::rejection() },
            "live": message("Once: everything up to here has been sent", &json!({
                "type": kind("live"), "position": position,
            }), &[]),
            "position": message("Nothing that was asked for, up to here", &json!({
                "type": kind("position"), "position": position,
            }), &[]),
            "ping": message("Every heartbeat", &json!({ "type": kind("ping") }), &[]),
            "error": message("Why the socket is about to be closed", &json!({
                "type": kind("error"),
                "code": { "enum": [4001, 4005, 4008, 4010, 4400, 4401, 4403] },
                "message": { "type": "string" },
                "retry_after_ms": { "type": "integer", "minimum": 0,
                    "description": "When to come back, if that is worth while" },
            }), &["retry_after_ms"]),
            "pong": message("The answer to a ping", &json!({ "type": kind("pong") }), &[]),
            "subscribe": message("Who is asking, what for, or both; answered by welcome", &json!({
                "type": kind("subscribe"),
                "token": { "type": "string",
                    "description": "A bearer token, from clients that cannot send headers" },
                "since": since(), "epoch": { "type": "string" },
                "order": { "type": "string" }, "customer": { "type": "string" },
                "types": { "type": "array", "items": { "enum": types() } },
            }), &["token", "since", "epoch", "order", "customer", "types"]),
        },
    })
}

/// A position, or log and position as in the id of a server-sent event.
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
            "type": { "description": "One or several, with commas in between",
                "type": "string" },
        },
    })
}

/// A message that is an object with these members, all of them unless they are
/// optional, and no others.
fn message(title: &str, properties: &Value, optional: &[&str]) -> Value {
    json!({ "title": title, "payload": frames::object(properties, optional) })
}

/// Channel of accepted operations. api-server publishes to the queue and not to the exchange, so
/// that no queue of others can stand in for it.
fn schedule() -> Value {
    let key = "platform-event.schedule";
    let mut channel = exchange(
        "platform-events-scheduler",
        key,
        "Accepted operations on their way to the log",
        &["operation"],
    );
    channel["description"] = json!(
        "api-server publishes to this queue itself, through the default exchange. What other \
         programs publish to the exchange platform-events-scheduler with the queue's name as key \
         reaches the queue as well; other queues that are bound there do not get what api-server \
         accepts."
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
        .map(|name| ((*name).to_owned(), between_services(name)));
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

fn between_services(name: &str) -> Value {
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
        "stored" => message("The log's last position", &json!({ "head": position }), &[]),
        "executed" => message(
            "What changed",
            &json!({
                "from": position, "to": position,
                "ids": { "type": "array", "items": text },
            }),
            &[],
        ),
        _ => message(
            "Frames, in order, without gaps",
            &json!({
                "from": position, "frames": { "type": "array", "items": frame() },
            }),
            &[],
        ),
    }
}

/// A frame on its way to the feed: its body is what clients get.
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

/// The order's document and everything that it consists of.
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
    close(&mut components["schemas"]);
    components["schemas"].take()
}
