//! Errors that a library answers by itself, put into the one form of every error.

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody, to_bytes_limited};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, ResponseError};

use crate::response::problem::Problem;

/// Bytes of a library's own words that are worth telling.
const WORDS: usize = 512;

/// Leaves everything as it is but errors without a body, or with one of plain text: what
/// has another form was given it by somebody. Their headers stay.
pub(crate) async fn uniform<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let answer = next.call(request).await?.map_into_boxed_body();
    let status = answer.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || !is_plain(answer.response()) {
        return Ok(answer);
    }
    let (request, answer) = answer.into_parts();
    let (head, body) = answer.into_parts();
    let mut new = document(status, request.path(), words(body).await).error_response();
    for (name, value) in head.headers() {
        if name != CONTENT_TYPE && name != CONTENT_LENGTH {
            new.headers_mut().append(name.clone(), value.clone());
        }
    }
    Ok(ServiceResponse::new(request, new))
}

fn is_plain(answer: &HttpResponse) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE);
    kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
}

/// What it says, if that is a short text.
async fn words(body: BoxBody) -> Option<String> {
    let bytes = to_bytes_limited(body, WORDS).await.ok()?.ok()?;
    let text = String::from_utf8(bytes.into()).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn document(status: StatusCode, path: &str, words: Option<String>) -> Problem {
    if status.is_server_error() {
        let words = words.unwrap_or_default();
        tracing::error!("answering {status} at {path}: {words}");
        return Problem::internal();
    }
    if status == StatusCode::NOT_FOUND {
        return Problem::not_found(format!("there is nothing at {path}"));
    }
    Problem::protocol(status, words)
}
