//! OpenAPI components that several routes share. The types are never constructed: they only
//! describe requests and responses for the documentation.
#![expect(dead_code, reason = "types for documentation only")]

use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::response::problem::InputFault;

/// Problem document (RFC 9457).
#[derive(ToSchema)]
pub struct Problem {
    /// Type of the problem, for programs.
    r#type: String,
    /// Type of the problem, for people.
    title: String,
    /// HTTP status of the response.
    status: u16,
    /// Explanation of this occurrence of the problem.
    detail: String,
    /// All faults of the request.
    errors: Option<Vec<InputFault>>,
}

/// Verb of an operation.
#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum Verbs {
    /// Creates the entity.
    Insert,
    /// Changes the entity.
    Update,
    /// Deletes the entity.
    Delete,
    /// Executes the entity's parked operations.
    Retry,
    /// Rejects the entity's first parked operation.
    Discard,
}

/// Status of an event.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Statuses {
    /// Stored in the log, not executed yet.
    Stored,
    /// Executed.
    Executed,
    /// Rejected at execution.
    Rejected,
    /// Parked until an operator resolves it.
    Parked,
}

/// Headers of all requests that submit an operation.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct SubmissionHeaders {
    /// Key that makes a repeated request return the first one's response, and do nothing else.
    /// Bare or in quotes.
    #[param(
        required = false,
        max_length = 255,
        pattern = r#"^([!#-~]([ -~]{0,253}[!-~])?|"[ -~]{1,253}")$"#
    )]
    #[param(rename = "Idempotency-Key")]
    key: Option<String>,
    /// Correlation id of everything that this request causes, to be looked up at
    /// `/correlation/{id}`: a UUID, or any other text.
    #[param(required = false)]
    #[param(rename = "X-Correlation-ID")]
    correlation: Option<String>,
}

/// Header `If-Match`.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfMatch {
    /// Versions on which the change may be based, as in `ETag`: a list, or `*`. Tags are compared
    /// as text; a weak tag never matches.
    #[param(
        required = false,
        pattern = r#"^(\*|(W/)?"[!#-~]{0,20}"( ?, ?(W/)?"[!#-~]{0,20}"){0,5})$"#
    )]
    #[param(rename = "If-Match")]
    tag: Option<String>,
}

/// Header `If-None-Match` of a change.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfNoneMatchWrite {
    /// Versions on which the change must not be executed, as in `ETag`: a list, or `*` for all
    /// versions.
    #[param(
        required = false,
        pattern = r#"^(\*|(W/)?"[!#-~]{0,20}"( ?, ?(W/)?"[!#-~]{0,20}"){0,5})$"#
    )]
    #[param(rename = "If-None-Match")]
    tag: Option<String>,
}

/// Header `If-None-Match`.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfNoneMatch {
    /// Versions that the client has already, as in `ETag`.
    #[param(required = false)]
    #[param(rename = "If-None-Match")]
    tag: Option<String>,
}

/// Header `Prefer`.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Prefer {
    /// `wait=SECONDS`: maximum wait of the response, at most 60. If too many responses are waiting
    /// already, a read is refused (429, 503), and a write is answered without a wait.
    #[param(required = false)]
    #[param(rename = "Prefer")]
    wait: Option<String>,
}

/// Accepted durably; executed soon.
#[derive(IntoResponses)]
#[response(
    status = 202,
    headers(
        ("Location" = String, description = "Entity that the operation creates or changes"),
        ("Operation-Location" = String, description = "Receipt of the operation"),
    )
)]
pub struct Accepted;

/// The client has this version already.
#[derive(IntoResponses)]
#[response(status = 304)]
pub struct NotModified;

/// There is no operation with this id, or the caller may not view it.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub struct NoSuchOperation(#[to_schema] Problem);

/// There is no parked operation with this id.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub struct NothingParked(#[to_schema] Problem);

/// There is no read model of this name.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub struct NoSuchReadModel(#[to_schema] Problem);

/// There is no part of this name that can be rebuilt.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub struct NoSuchPart(#[to_schema] Problem);

/// Another operation of the same entity is parked before this one; or another request with the
/// same idempotency key is in progress, and `Retry-After` says when to repeat this one.
#[derive(IntoResponses)]
#[response(status = 409, content_type = "application/problem+json")]
pub struct NotFirst(#[to_schema] Problem);

/// The entity's version does not meet `If-Match` or `If-None-Match`.
#[derive(IntoResponses)]
#[response(status = 412, content_type = "application/problem+json")]
pub struct Changed(#[to_schema] Problem);

/// The idempotency key was used before with other content.
#[derive(IntoResponses)]
#[response(status = 422, content_type = "application/problem+json")]
pub struct KeyReused(#[to_schema] Problem);

/// Parameters of a page of log entries.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParameters {
    /// Maximum number of items.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// Position after which the page starts, as in `Link`.
    #[param(minimum = 0)]
    after: Option<u64>,
}
