//! Problem documents (RFC 9457): the one form of every error.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use bakehouse_pipeline::ports::StoreError;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What a fault of the input looks like within `errors`.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
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
    /// Seconds after which trying again makes sense.
    retry_after: Option<u32>,
    /// Methods that the resource does have, for 405.
    allow: Option<&'static str>,
    more: Map<String, Value>,
}

impl Problem {
    fn new(status: StatusCode, kind: &'static str, title: &'static str, detail: String) -> Self {
        Self {
            status,
            kind,
            title,
            detail,
            retry_after: None,
            allow: None,
            more: Map::new(),
        }
    }

    /// 400: the body is not what its type says.
    #[must_use]
    pub fn syntax(detail: String) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed-body",
            "The body is not JSON",
            detail,
        )
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
        problem.allow = Some(allow);
        problem
    }

    /// 408: the body did not come.
    #[must_use]
    pub fn too_slow() -> Self {
        let detail = "the body did not arrive in time".to_owned();
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "Request timeout",
            detail,
        )
    }

    /// 413 with the limit.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("the body may have at most {limit} bytes");
        let title = "The body is too large";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title, detail)
            .with("limit", json!(limit))
    }

    /// 415: not JSON by its own account.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        let detail = "the body must be application/json".to_owned();
        let title = "Unsupported media type";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            title,
            detail,
        )
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

    /// 503 with `Retry-After`: nothing has been accepted, as far as is known.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let title = "Temporarily unavailable";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut problem = Self::new(status, "unavailable", title, detail.into());
        problem.retry_after = Some(1);
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

    /// Adds a member of its own to the document.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.more.insert(key.to_owned(), value);
        self
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

    fn head(&self) -> HttpResponseBuilder {
        let mut head = HttpResponse::build(self.status);
        head.insert_header((header::CONTENT_TYPE, "application/problem+json"));
        if let Some(seconds) = self.retry_after {
            head.insert_header((header::RETRY_AFTER, seconds.to_string()));
        }
        if let Some(methods) = self.allow {
            head.insert_header((header::ALLOW, methods));
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
