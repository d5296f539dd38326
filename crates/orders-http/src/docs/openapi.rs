//! OpenAPI 3.1 document: the operations' own descriptions, and what is common to all of them.

use bakehouse_http::auth::Scope;
use bakehouse_http::metrics;
use bakehouse_http::response::problem::InputFault;
use bakehouse_http::routes::correlation;
use bakehouse_http::routes::health;
use bakehouse_http::routes::parked;
use bakehouse_http::routes::read_models;
use bakehouse_http::routes::rebuilds;
use bakehouse_http::routes::receipt;
use serde_json::{Map, Value, json};
use utoipa::{OpenApi, PartialSchema};

use super::variant::Variant;
use super::{bodies, frames, parts};
use crate::scopes::SCOPES;
use crate::{attachments, orders};

const PROBLEM: &str = "application/problem+json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Bakehouse",
        description = "API of an order service. A write is answered with 202 as soon as it is durable, \
            and is executed in order; its receipt reports the result. Reads return prepared documents.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "orders", description = "Place, change and read orders"),
        (name = "attachments", description = "Files that belong to an order"),
        (name = "operations", description = "Receipts: the results of accepted operations"),
        (name = "operators", description = "Parked operations, read models and rebuilds; for operators"),
        (name = "health", description = "Health checks and metrics; for operators"),
    )
)]
struct Documentation;

/// Returns the document.
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
    forbid_other_members(schemas);
    // The engine names this member after the domain at run time.
    for schema in ["Receipt", "Parked"] {
        schemas[schema]["properties"]["order_id"] = json!({ "type": "string" });
    }
    if let Some(required) = schemas["Parked"]["required"].as_array_mut() {
        required.push(json!("order_id"));
    }
    schemas["OrderBody"] = bodies::order(variant.currency.digits());
    // An order keeps its currency, whichever that is.
    schemas["AmendmentBody"] = bodies::order(bodies::MAX_DECIMAL_PLACES);
    schemas["StatusBody"] = bodies::status();
    schemas["DiscardBody"] = bodies::discard();
    schemas["Upload"] = bodies::upload();
    schemas["Problem"] = json!(parts::Problem::schema());
    schemas["Fault"] = json!(InputFault::schema());
    document["webhooks"] = webhooks();
    if let Some(url) = &variant.public_url {
        document["servers"] = json!([{ "url": url.as_str().trim_end_matches('/') }]);
    }
    if variant.requires_tokens {
        document["components"]["securitySchemes"]["token"] =
            json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT" });
    }
    let paths = document["paths"].as_object_mut();
    for (path, calls) in paths.into_iter().flatten() {
        for (method, call) in calls.as_object_mut().into_iter().flatten() {
            add_common_parts(path, method, call, variant);
        }
    }
    document
}

/// Returns the description of the webhooks (setting `webhook.urls`).
fn webhooks() -> Value {
    let header = |name: &str, description: &str| {
        json!({
            "name": name, "in": "header", "required": true, "description": description,
            "schema": { "type": "string" },
        })
    };
    json!({ "order": { "post": {
        "summary": "An order changed, or an operation on it was rejected, parked or resolved",
        "description": "Signed according to the Standard Webhooks specification. Answer with 2xx. \
            After 410 the delivery is abandoned; after any other status it is retried for a day.",
        "parameters": [
            header("webhook-id", "Id of the delivery, equal for all attempts; use it to ignore duplicates"),
            header("webhook-timestamp", "Time of this attempt, in seconds since 1970-01-01T00:00:00Z"),
            header("webhook-signature", "v1, followed by a comma and the base64 of HMAC-SHA256 over id.timestamp.body"),
        ],
        "requestBody": { "required": true, "content": { "application/json": {
            "schema": frames::webhook(),
        } } },
        "responses": { "2XX": { "description": "Delivered" } },
    } } })
}

/// Sets `additionalProperties: false` on the schemas of all objects.
pub(super) fn forbid_other_members(schemas: &mut Value) {
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

/// Adds security, and the responses that many operations share.
fn add_common_parts(path: &str, method: &str, call: &mut Value, variant: &Variant) {
    let parameters = call.get_mut("parameters").and_then(Value::as_array_mut);
    let schemas = parameters.into_iter().flatten();
    schemas
        .filter_map(|parameter| parameter.get_mut("schema"))
        .for_each(forbid_null);
    let has_body = call.get("requestBody").is_some();
    let is_public = path.starts_with("/health") || path == "/metrics";
    let mut common = vec![(
        "503",
        "The database or the broker is unavailable; retry later",
    )];
    if !is_public {
        common.push((
            "400",
            "The request is invalid; the member errors lists all faults",
        ));
        common.push(("500", "Internal error; the server has logged it"));
        if variant.requires_tokens {
            let needs_admin = ["/parked", "/read-models", "/rebuilds"]
                .iter()
                .any(|prefix| path.starts_with(prefix));
            let of_method = Scope::of_method(&method.to_uppercase());
            let scope = if needs_admin { Scope::Admin } else { of_method };
            let scope = format!("{SCOPES}:{}", scope.name());
            call["security"] = json!([{ "token": [scope] }]);
            common.push(("401", "The token is missing or invalid"));
            common.push(("403", "The token lacks the required scope or owner"));
        }
        common.push((
            "429",
            "Too many requests, or too many at the same time; retry after the time in Retry-After",
        ));
    }
    if has_body {
        call["requestBody"]["required"] = json!(true);
        if path.ends_with("/attachments") {
            call["requestBody"]["content"] = upload(&variant.media_types);
            common.push((
                "409",
                "The order cannot take the file, or a quota would be exceeded",
            ));
            common.push((
                "429",
                "Too many concurrent uploads; retry after the time in Retry-After",
            ));
            common.push(("507", "The storage for attached files is full"));
        }
        common.push(("408", "The body did not arrive in time"));
        common.push(("413", "The body is too large"));
        common.push(("415", "The media type of the body is not supported"));
    }
    if let Some(responses) = call["responses"].as_object_mut() {
        add_problems(responses, &common);
    }
}

/// Returns the content of an upload's body: one part with one of the accepted media types.
fn upload(media_types: &[String]) -> Value {
    json!({
        "multipart/form-data": {
            "schema": { "$ref": "#/components/schemas/Upload" },
            "encoding": { "file": { "contentType": media_types.join(", ") } },
        },
    })
}

/// Removes `null` from the types of a parameter, since queries and headers have no null.
fn forbid_null(schema: &mut Value) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
    }
    if let Some(Value::Array(kinds)) = schema.get_mut("oneOf") {
        kinds.retain(|kind| kind["type"] != "null");
    }
}

fn add_problems(responses: &mut Map<String, Value>, common: &[(&str, &str)]) {
    for (status, description) in common {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let response = json!({
            "description": description,
            "content": { PROBLEM: { "schema": schema } },
        });
        responses.entry(*status).or_insert(response);
    }
}
