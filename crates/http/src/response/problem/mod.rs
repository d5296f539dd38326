//! Problem documents (RFC 9457): the format of all error responses.

mod access;
mod limits;

use std::fmt;
use std::future::ready;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError, Route, web};
use bakehouse_engine::Rejection;
use bakehouse_engine::ports::StoreError;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Fault of the input, an item of `errors`.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, ToSchema)]
#[schema(as = Fault)]
pub struct InputFault {
    /// Location: a JSON pointer into the body (RFC 6901), `/query/NAME`, or
    /// `/header/NAME`.
    pub pointer: String,
    /// Explanation of what was expected at this location.
    pub detail: String,
}

/// Error response with the content type `application/problem+json`.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    headers: Vec<(HeaderName, String)>,
    members: Map<String, Value>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: String) -> Self {
        Self {
            status,
            kind,
            title,
            detail,
            headers: Vec::new(),
            members: Map::new(),
        }
    }

    /// 400: the body is not JSON.
    #[must_use]
    pub fn syntax(detail: String) -> Self {
        // The pointer is empty: the fault is the body's as a whole.
        let errors = json!([{ "pointer": "", "detail": detail }]);
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed-body",
            "The body is not JSON",
            detail,
        )
        .with("errors", errors)
    }

    /// 400: the request is invalid; with all faults.
    #[must_use]
    pub fn invalid(faults: Vec<InputFault>) -> Self {
        let detail = match faults.as_slice() {
            [fault] => format!("{}: {}", fault.pointer, fault.detail),
            faults => format!("the request has {} faults; see errors", faults.len()),
        };
        let title = "The request is not valid";
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", title, detail)
            .with("errors", json!(faults))
    }

    /// 426: the feed needs a websocket handshake, or `Accept: text/event-stream`.
    #[must_use]
    pub fn upgrade_required() -> Self {
        let mut problem = Self::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade-required",
            "A websocket, or a stream of events",
            "expected a websocket handshake, or Accept: text/event-stream".to_owned(),
        );
        problem
            .headers
            .push((header::UPGRADE, "websocket".to_owned()));
        problem
    }

    /// 426: the version of the websocket protocol is not supported.
    #[must_use]
    pub fn websocket_version() -> Self {
        let mut problem = Self::upgrade_required();
        problem.detail = "Sec-WebSocket-Version: expected 13 (RFC 6455)".to_owned();
        let version = (header::SEC_WEBSOCKET_VERSION, "13".to_owned());
        problem.headers.push(version);
        problem
    }

    /// 410: the feed does not have the position.
    #[must_use]
    pub fn gone(detail: String) -> Self {
        Self::new(
            StatusCode::GONE,
            "position-not-available",
            "The position is not available",
            detail,
        )
    }

    /// Converts the problem to 409, for faults that depend on the current state.
    #[must_use]
    pub fn into_conflict(self) -> Self {
        Self {
            status: StatusCode::CONFLICT,
            kind: "conflict",
            title: "The request does not fit what is there",
            ..self
        }
    }

    /// 409: only the first parked operation of an entity can be resolved; `first` is its id.
    #[must_use]
    pub fn not_first(first: &str) -> Self {
        let detail = format!("operation {first} is parked before it");
        let title = "Another is before it";
        Self::new(StatusCode::CONFLICT, "not-first", title, detail).with("first", json!(first))
    }

    /// 409: the domain rejected the operation at execution; 412 if the entity was not at the
    /// expected version.
    #[must_use]
    pub fn refused(rejection: &Rejection) -> Self {
        let title = "It was refused";
        let reason = rejection.reason.clone();
        let status = match rejection.code.as_deref() {
            Some(Rejection::VERSION_CONFLICT) => StatusCode::PRECONDITION_FAILED,
            _ => StatusCode::CONFLICT,
        };
        let problem = Self::new(status, "refused", title, reason);
        match &rejection.code {
            Some(code) => problem.with("code", json!(code)),
            None => problem,
        }
    }

    /// 412: a condition does not hold; with an explanation.
    #[must_use]
    pub fn condition_not_met(detail: &str) -> Self {
        let title = "Precondition failed";
        let status = StatusCode::PRECONDITION_FAILED;
        Self::new(status, "precondition-failed", title, detail.to_owned())
    }

    /// 412: the entity has been changed; `version` is the current one.
    #[must_use]
    pub fn precondition_failed(version: u64) -> Self {
        let detail = format!("the entity is at version {version}");
        let title = "Precondition failed";
        let status = StatusCode::PRECONDITION_FAILED;
        Self::new(status, "precondition-failed", title, detail).with("version", json!(version))
    }

    /// 404: the resource does not exist, or the caller may not view it.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            detail.into(),
        )
    }

    /// 405: the method is not allowed; `allow` lists the allowed ones.
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("allowed methods: {allow}");
        let title = "Method not allowed";
        let mut problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            title,
            detail,
        );
        problem.headers.push((header::ALLOW, allow.to_owned()));
        problem
    }

    /// Route that answers 405 to all other methods of a resource.
    #[must_use]
    pub fn other_methods(allow: &'static str) -> Route {
        web::route().to(move || ready(Err::<HttpResponse, _>(Self::method_not_allowed(allow))))
    }

    /// Any other 4xx, of HTTP itself or of CORS; the detail defaults to the status' name.
    #[must_use]
    pub fn protocol(status: StatusCode, detail: Option<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Not allowed");
        let detail = detail.unwrap_or_else(|| title.to_owned());
        Self::new(status, "protocol", title, detail)
    }

    /// 415: the body's content type is not JSON.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        Self::unsupported("the body must be application/json".to_owned())
    }

    /// 400: the body is not valid multipart.
    #[must_use]
    pub fn malformed_multipart(detail: String) -> Self {
        let errors = json!([{ "pointer": "", "detail": detail }]);
        let title = "The body is not multipart/form-data";
        Self::new(StatusCode::BAD_REQUEST, "malformed-body", title, detail).with("errors", errors)
    }

    /// 415: the body's content type is not multipart.
    #[must_use]
    pub fn not_multipart() -> Self {
        let detail = "the body must be multipart/form-data".to_owned();
        Self::unsupported(detail)
    }

    /// 415: files of this type cannot be attached; with the allowed types.
    #[must_use]
    pub fn unsupported_attachment(media_type: &str, known: &[String]) -> Self {
        let detail = format!("files of type {media_type} cannot be attached");
        Self::unsupported(detail).with("media_types", json!(known))
    }

    pub(super) fn unsupported(detail: String) -> Self {
        let title = "Unsupported media type";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "unsupported-media-type", title, detail)
    }

    /// 422: the idempotency key was used with other content.
    #[must_use]
    pub fn key_reused() -> Self {
        let detail = "this Idempotency-Key was used before with other content".to_owned();
        let title = "Idempotency key reused";
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
            title,
            detail,
        )
    }

    /// 409 with `Retry-After`: another request with the same idempotency key is in progress, and
    /// takes longer than this one waits.
    #[must_use]
    pub fn key_in_use() -> Self {
        let detail = "another request with this Idempotency-Key is in progress; repeat this \
                      one to get its response";
        let title = "Idempotency key in use";
        let kind = "idempotency-key-in-use";
        let mut problem = Self::new(StatusCode::CONFLICT, kind, title, detail.to_owned());
        problem.headers.push((header::RETRY_AFTER, "1".to_owned()));
        problem
    }

    /// 503 with `Retry-After`: a dependency is unavailable or overloaded.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let title = "Temporarily unavailable";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut problem = Self::new(status, "unavailable", title, detail.into());
        problem.headers.push((header::RETRY_AFTER, "1".to_owned()));
        problem
    }

    /// 500: internal error; its details are logged, not sent.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "internal error; it has been logged".to_owned();
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            detail,
        )
    }

    /// 500: an operation that the request causes failed, and the transaction was rolled back.
    #[must_use]
    pub fn undone() -> Self {
        let detail =
            "an operation that this request causes failed; everything was rolled back".to_owned();
        let title = "Undone";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "undone", title, detail)
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Adds a member to the document.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.members.insert(key.to_owned(), value);
        self
    }

    /// Explanation of this occurrence, for people.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    fn document(&self) -> Value {
        let mut document = json!({
            "type": format!("urn:bakehouse:problem:{}", self.kind),
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(document) = document.as_object_mut() {
            document.extend(self.members.clone());
        }
        document
    }

    /// Response as HTTP/1.1 text, for a connection that is closed after it.
    pub(crate) fn raw(&self) -> String {
        let status = self.status;
        let body = self.document().to_string();
        let headers: String = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\n{headers}\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn head(&self) -> HttpResponseBuilder {
        let mut head = HttpResponse::build(self.status);
        head.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        for (name, value) in &self.headers {
            head.insert_header((name.clone(), value.as_str()));
        }
        head
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} {}: {}",
            self.status.as_u16(),
            self.title,
            self.detail
        )
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.head().body(self.document().to_string())
    }
}

impl From<StoreError> for Problem {
    /// Converts the error to 503 or 500. Its text is logged, not sent, because it may name hosts.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotYet(what) => Self::unavailable(what),
            StoreError::Unavailable(_) | StoreError::Fenced => {
                tracing::warn!("answering 503: {error}");
                Self::unavailable("the database does not answer")
            }
            StoreError::Hole { .. } | StoreError::Corrupt(_) => {
                tracing::error!("answering 500: {error}");
                Self::internal()
            }
        }
    }
}
