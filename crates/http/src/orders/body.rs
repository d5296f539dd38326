//! Reading a request's body: bounded in size and time.

use std::time::Duration;

use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use actix_web::{HttpRequest, web};
use futures_util::StreamExt;

use crate::problem::Problem;

/// How long the whole body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// The body of a request that says it is JSON, or does not say what it is.
pub(super) async fn read_json(
    request: &HttpRequest,
    payload: web::Payload,
    limit: usize,
) -> Result<Vec<u8>, Problem> {
    if !is_json(request) {
        return Err(Problem::unsupported_media_type());
    }
    let announced = header(request, &CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(Problem::too_large(limit));
    }
    let collected = tokio::time::timeout(PATIENCE, collect(payload, limit)).await;
    collected.unwrap_or_else(|_| Err(Problem::too_slow()))
}

async fn collect(mut payload: web::Payload, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| Problem::syntax(error.to_string()))?;
        if body.len() + chunk.len() > limit {
            return Err(Problem::too_large(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn is_json(request: &HttpRequest) -> bool {
    let Some(value) = header(request, &CONTENT_TYPE) else {
        return true;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// A header's text, if it has one.
pub(super) fn header<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}
