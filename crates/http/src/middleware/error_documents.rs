//! Conversion of the HTTP library's own error responses into problem documents.

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody, to_bytes_limited};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, ResponseError};

use crate::response::problem::Problem;

/// Maximum size in bytes of a library's error text that is passed on.
const MAX_TEXT_BYTES: usize = 512;

/// Middleware that replaces errors without a body, or with one of plain text, by problem
/// documents. Their headers are kept, and all other responses are not changed.
pub(crate) async fn convert_errors<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || !is_plain(response.response()) {
        return Ok(response);
    }
    let (request, response) = response.into_parts();
    let (head, body) = response.into_parts();
    let mut replacement = problem(status, request.path(), text(body).await).error_response();
    for (name, value) in head.headers() {
        if name != CONTENT_TYPE && name != CONTENT_LENGTH {
            replacement
                .headers_mut()
                .append(name.clone(), value.clone());
        }
    }
    Ok(ServiceResponse::new(request, replacement))
}

/// Checks whether a response has no content type, or plain text.
fn is_plain(response: &HttpResponse) -> bool {
    let content_type = response.headers().get(CONTENT_TYPE);
    content_type.is_none_or(|media_type| media_type.as_bytes().starts_with(b"text/plain"))
}

/// Text of a body; `None` if it is empty, too long, or not UTF-8.
async fn text(body: BoxBody) -> Option<String> {
    let bytes = to_bytes_limited(body, MAX_TEXT_BYTES).await.ok()?.ok()?;
    let text = String::from_utf8(bytes.into()).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn problem(status: StatusCode, path: &str, text: Option<String>) -> Problem {
    if status.is_server_error() {
        let text = text.unwrap_or_default();
        tracing::error!("answering {status} at {path}: {text}");
        return Problem::internal();
    }
    if status == StatusCode::NOT_FOUND {
        return Problem::not_found(format!("there is nothing at {path}"));
    }
    Problem::protocol(status, text)
}
