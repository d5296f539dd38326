//! OpenAPI 3.1: what the calls say of themselves, and what holds for all of them.

use bakehouse_http::auth::Scope;
use bakehouse_http::metrics;
use bakehouse_http::response::problem::InputFault;
use bakehouse_http::routes::correlation;
use bakehouse_http::routes::health;
use bakehouse_http::routes::parked;
use bakehouse_http::routes::read_models;
use bakehouse_http::routes::rebuilds;
use bakehouse_http::routes::receipt;
use bakehouse_orders::money::Currency;
use serde_json::{Map, Value, json};
use url::Url;
use utoipa::{OpenApi, PartialSchema};

use super::{bodies, frames, parts};
use crate::SCOPES;
use crate::{attachments, orders};

const PROBLEM: &str = "application/problem+json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bakehouse",
        description = "Orders that are kept once they are accepted. Writes answer 202 as soon as \
            they are durable and are carried out in order; reads come from ready-made documents.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "orders", description = "Place, change and read orders"),
        (name = "attachments", description = "Files that belong to an order"),
        (name = "operations", description = "What became of what was accepted"),
        (name = "operators", description = "What has been set aside, and what to do about it"),
        (name = "health", description = "For operators"),
    )
)]
struct Documentation;

/// What the document depends on.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    /// Of orders that name none.
    pub(crate) currency: Currency,
    /// Whether tokens are asked for.
    pub(crate) has_tokens: bool,
    /// Types of files that may be attached.
    pub(crate) media_types: Vec<String>,
    /// URL under which clients find the API, where that is not this server's own.
    pub(crate) public_url: Option<Url>,
}

/// The document.
pub(crate) fn document(variant: &Variant) -> Value {
    let mut api = Documentation::openapi();
    api.merge(orders::Documentation::openapi());
    api.merge(attachments::Documentation::openapi());
    api.merge(receipt::Documentation::openapi());
    api.merge(correlation::Documentation::openapi());
    api.merge(parked::Documentation::openapi());
    api.merge(read_models::Documentation::openapi());
    api.merge(rebuilds::Documentation::openapi());
    api.merge(metrics::Documentation::openapi());
    api.merge(health::Documentation::openapi());
    let mut document = serde_json::to_value(api).unwrap_or_default();
    let schemas = &mut document["components"]["schemas"];
    close(schemas);
    // What the engine calls by the domain's name.
    for schema in ["Receipt", "Parked"] {
        schemas[schema]["properties"]["order_id"] = json!({ "type": "string" });
    }
    if let Some(required) = schemas["Parked"]["required"].as_array_mut() {
        required.push(json!("order_id"));
    }
    schemas["OrderBody"] = bodies::order(variant.currency.digits());
    // An order keeps its currency, whichever that is.
    schemas["AmendmentBody"] = bodies::order(bodies::MOST_DIGITS);
    schemas["StatusBody"] = bodies::status();
    schemas["DiscardBody"] = bodies::discard();
    schemas["Upload"] = bodies::upload();
    schemas["Problem"] = json!(parts::Problem::schema());
    schemas["Fault"] = json!(InputFault::schema());
    document["webhooks"] = webhooks();
    if let Some(url) = &variant.public_url {
        document["servers"] = json!([{ "url": url.as_str().trim_end_matches('/') }]);
    }
    if variant.has_tokens {
        document["components"]["securitySchemes"]["token"] =
            json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT" });
    }
    let paths = document["paths"].as_object_mut();
    for (path, calls) in paths.into_iter().flatten() {
        for (method, call) in calls.as_object_mut().into_iter().flatten() {
            complete(path, method, call, variant);
        }
    }
    document
}

/// What those are told who asked for it (`webhook.urls`).
fn webhooks() -> Value {
    let header = |name: &str, description: &str| {
        json!({
            "name": name, "in": "header", "required": true, "description": description,
            "schema": { "type": "string" },
        })
    };
    json!({ "order": { "post": {
        "summary": "What became of an order",
        "description": "By the Standard Webhooks rules. Answer 2xx; anything else is tried again \
            for a day, but for 410, after which it is given up.",
        "parameters": [
            header("webhook-id", "The same for every attempt: what comes twice is one"),
            header("webhook-timestamp", "Of this attempt, in seconds since 1970"),
            header("webhook-signature", "v1, and the base64 of HMAC-SHA256 over id.timestamp.body"),
        ],
        "requestBody": { "required": true, "content": { "application/json": {
            "schema": frames::webhook(),
        } } },
        "responses": { "2XX": { "description": "Taken" } },
    } } })
}

/// What is answered has the members that are described, and no others.
pub(super) fn close(schemas: &mut Value) {
    for schema in schemas
        .as_object_mut()
        .into_iter()
        .flat_map(Map::values_mut)
    {
        if schema.get("properties").is_some() {
            schema["additionalProperties"] = json!(false);
        }
    }
}

/// Adds what every call may answer.
fn complete(path: &str, method: &str, call: &mut Value, variant: &Variant) {
    let parameters = call.get_mut("parameters").and_then(Value::as_array_mut);
    let schemas = parameters.into_iter().flatten();
    schemas
        .filter_map(|parameter| parameter.get_mut("schema"))
        .for_each(forbid_null);
    let has_body = call.get("requestBody").is_some();
    let is_open = path.starts_with("/health") || path == "/metrics";
    let mut common = vec![("503", "The database or the broker is away; try again soon")];
    if !is_open {
        common.push((
            "400",
            "The request is not valid; errors names everything that is wrong",
        ));
        common.push(("500", "An error of ours, which has been logged"));
        if variant.has_tokens {
            let is_operators = ["/parked", "/read-models", "/rebuilds"]
                .iter()
                .any(|of| path.starts_with(of));
            let of_method = Scope::of_method(&method.to_uppercase());
            let scope = if is_operators {
                Scope::Admin
            } else {
                of_method
            };
            let scope = format!("{SCOPES}:{}", scope.name());
            call["security"] = json!([{ "token": [scope] }]);
            common.push(("401", "No token, or one that is not to be believed"));
            common.push((
                "403",
                "The token lacks the scope or the owner that this takes",
            ));
        }
        common.push((
            "429",
            "Too many requests, or too much at once; Retry-After says when to go on",
        ));
    }
    if has_body {
        call["requestBody"]["required"] = json!(true);
        if path.ends_with("/attachments") {
            call["requestBody"]["content"] = upload(&variant.media_types);
            common.push((
                "409",
                "The order cannot have the file, or a quota would be exceeded",
            ));
            common.push(("429", "Too many uploads; Retry-After says when to go on"));
            common.push(("507", "There is no room for more files"));
        }
        common.push(("408", "The body did not arrive in time"));
        common.push(("413", "The body is too large"));
        common.push(("415", "The body is not of a type that is read here"));
    }
    if let Some(responses) = call["responses"].as_object_mut() {
        add(responses, &common);
    }
}

/// The content of an upload's body: one part, of one of these types.
fn upload(media_types: &[String]) -> Value {
    json!({
        "multipart/form-data": {
            "schema": { "$ref": "#/components/schemas/Upload" },
            "encoding": { "file": { "contentType": media_types.join(", ") } },
        },
    })
}

/// A parameter is there, or it is not; there is no null in a query or a header.
fn forbid_null(schema: &mut Value) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
    }
    if let Some(Value::Array(kinds)) = schema.get_mut("oneOf") {
        kinds.retain(|kind| kind["type"] != "null");
    }
}

fn add(responses: &mut Map<String, Value>, common: &[(&str, &str)]) {
    for (status, description) in common {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let response = json!({
            "description": description,
            "content": { PROBLEM: { "schema": schema } },
        });
        responses.entry(*status).or_insert(response);
    }
}
