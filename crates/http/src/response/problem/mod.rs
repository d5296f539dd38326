//! Problem documents (RFC 9457): the one form of every error.

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

/// What a fault of the input looks like within `errors`.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, ToSchema)]
#[schema(as = Fault)]
pub struct InputFault {
    /// Where: a JSON pointer into the body (RFC 6901), `/query/NAME`, or
    /// `/header/NAME`.
    pub pointer: String,
    /// What was expected there.
    pub detail: String,
}

/// An error as its receiver gets it: `application/problem+json`.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: String,
    headers: Vec<(HeaderName, String)>,
    more: Map<String, Value>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: String) -> Self {
        Self {
            status,
            kind,
            title,
            detail,
            headers: Vec::new(),
            more: Map::new(),
        }
    }

    /// 400: the body is not what its type says.
    #[must_use]
    pub fn syntax(detail: String) -> Self {
        // Of the whole body, since no part of it can be told from another.
        let errors = json!([{ "pointer": "", "detail": detail }]);
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed-body",
            "The body is not JSON",
            detail,
        )
        .with("errors", errors)
    }

    /// 400 with a fault for each thing that is wrong.
    #[must_use]
    pub fn invalid(faults: Vec<InputFault>) -> Self {
        let detail = match faults.as_slice() {
            [fault] => format!("{}: {}", fault.pointer, fault.detail),
            faults => format!("{} things are wrong; errors names them all", faults.len()),
        };
        let title = "The request is not valid";
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", title, detail)
            .with("errors", json!(faults))
    }

    /// 426: the feed is a websocket, or a stream of events.
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

    /// 426: another version of the websocket protocol.
    #[must_use]
    pub fn websocket_version() -> Self {
        let mut problem = Self::upgrade_required();
        problem.detail = "Sec-WebSocket-Version: expected 13 (RFC 6455)".to_owned();
        let version = (header::SEC_WEBSOCKET_VERSION, "13".to_owned());
        problem.headers.push(version);
        problem
    }

    /// 410: a position that the feed does not have.
    #[must_use]
    pub fn gone(detail: String) -> Self {
        Self::new(
            StatusCode::GONE,
            "position-not-available",
            "The position is not available",
            detail,
        )
    }

    /// The same faults as 409: they are faults only as things stand.
    #[must_use]
    pub fn into_conflict(self) -> Self {
        Self {
            status: StatusCode::CONFLICT,
            kind: "conflict",
            title: "The request does not fit what is there",
            ..self
        }
    }

    /// 409: what is parked of an entity is settled from the first on.
    #[must_use]
    pub fn not_first(first: &str) -> Self {
        let detail = format!("operation {first} is parked before it");
        let title = "Another is before it";
        Self::new(StatusCode::CONFLICT, "not-first", title, detail).with("first", json!(first))
    }

    /// 409: the domain refuses it, as things stood when it was carried out; 412 where
    /// it was at another version than the one expected.
    #[must_use]
    pub fn refused(rejection: &Rejection) -> Self {
        let title = "It was refused";
        let reason = rejection.reason.clone();
        let status = match rejection.code.as_deref() {
            Some(Rejection::VERSION) => StatusCode::PRECONDITION_FAILED,
            _ => StatusCode::CONFLICT,
        };
        let problem = Self::new(status, "refused", title, reason);
        match &rejection.code {
            Some(code) => problem.with("code", json!(code)),
            None => problem,
        }
    }

    /// 412: a condition that names no version of this, or that it does not exist.
    #[must_use]
    pub fn unmatched(detail: &str) -> Self {
        let title = "Precondition failed";
        let status = StatusCode::PRECONDITION_FAILED;
        Self::new(status, "precondition-failed", title, detail.to_owned())
    }

    /// 412: it has been changed since.
    #[must_use]
    pub fn precondition_failed(version: u64) -> Self {
        let detail = format!("it is at version {version} by now");
        let title = "Precondition failed";
        let status = StatusCode::PRECONDITION_FAILED;
        Self::new(status, "precondition-failed", title, detail).with("version", json!(version))
    }

    /// 404: nothing here by that name.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            detail.into(),
        )
    }

    /// 405 with the methods that there are.
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this resource answers {allow}");
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

    /// For a resource's methods that are not there.
    #[must_use]
    pub fn other_methods(allow: &'static str) -> Route {
        web::route().to(move || ready(Err::<HttpResponse, _>(Self::method_not_allowed(allow))))
    }

    /// Another 4xx, of HTTP itself or of the rules for pages of other origins.
    #[must_use]
    pub fn protocol(status: StatusCode, detail: Option<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Not allowed");
        let detail = detail.unwrap_or_else(|| title.to_owned());
        Self::new(status, "protocol", title, detail)
    }

    /// 415: not JSON by its own account.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        Self::unsupported("the body must be application/json".to_owned())
    }

    /// 400: the body is not the multipart that it is said to be.
    #[must_use]
    pub fn malformed_multipart(detail: String) -> Self {
        let errors = json!([{ "pointer": "", "detail": detail }]);
        let title = "The body is not multipart/form-data";
        Self::new(StatusCode::BAD_REQUEST, "malformed-body", title, detail).with("errors", errors)
    }

    /// 415: not multipart by its own account.
    #[must_use]
    pub fn not_multipart() -> Self {
        let detail = "the body must be multipart/form-data".to_owned();
        Self::unsupported(detail)
    }

    /// 415 for a file, with the types that there may be.
    #[must_use]
    pub fn unsupported_attachment(media_type: &str, known: &[String]) -> Self {
        let detail = format!("no file of type {media_type} can be attached");
        Self::unsupported(detail).with("media_types", json!(known))
    }

    pub(super) fn unsupported(detail: String) -> Self {
        let title = "Unsupported media type";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "unsupported-media-type", title, detail)
    }

    /// 422: an idempotency key that meant something else before.
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

    /// 409 with `Retry-After`: another request under the same idempotency key is under way, and
    /// takes longer than this one waits.
    #[must_use]
    pub fn key_in_use() -> Self {
        let detail = "another request with this Idempotency-Key is being accepted; repeat this \
                      one to get its answer";
        let title = "Idempotency key in use";
        let kind = "idempotency-key-in-use";
        let mut problem = Self::new(StatusCode::CONFLICT, kind, title, detail.to_owned());
        problem.headers.push((header::RETRY_AFTER, "1".to_owned()));
        problem
    }

    /// 503 with `Retry-After`: nothing has been accepted, as far as is known.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let title = "Temporarily unavailable";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut problem = Self::new(status, "unavailable", title, detail.into());
        problem.headers.push((header::RETRY_AFTER, "1".to_owned()));
        problem
    }

    /// 500: ours to mend; the details are in our log.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "the service met an error of its own; it has been logged".to_owned();
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            detail,
        )
    }

    /// 500: what the request leads to failed on the way, and nothing of it has happened.
    #[must_use]
    pub fn undone() -> Self {
        let detail = "a part of what this leads to failed; nothing of it has been done".to_owned();
        let title = "Undone";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "undone", title, detail)
    }

    /// The same with another header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Adds a member of its own to the document.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.more.insert(key.to_owned(), value);
        self
    }

    /// Explanation of what is wrong, for people.
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
        if let Some(members) = document.as_object_mut() {
            members.extend(self.more.clone());
        }
        document
    }

    /// The whole answer as bytes of HTTP, for a connection that is closed after it.
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
    /// The reason goes to our log, not to whoever asked: it may name hosts.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotYet(what) => Self::unavailable(what),
            StoreError::Unavailable(_) | StoreError::Fenced => {
                tracing::warn!("answering 503: {error}");
                Self::unavailable("the database does not answer right now")
            }
            StoreError::Hole { .. } | StoreError::Corrupt(_) => {
                tracing::error!("answering 500: {error}");
                Self::internal()
            }
        }
    }
}
