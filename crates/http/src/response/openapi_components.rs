//! What the descriptions of several calls have in common. The types are never
//! made: they only describe what is read and answered elsewhere.
#![expect(dead_code, reason = "described, never made")]

use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::response::problem::InputFault;

/// A problem document (RFC 9457).
#[derive(ToSchema)]
pub struct Problem {
    /// What kind of problem, for programs.
    r#type: String,
    /// What kind of problem, for people.
    title: String,
    /// The status of the answer.
    status: u16,
    /// This problem in particular.
    detail: String,
    /// Everything that is wrong with the request.
    errors: Option<Vec<InputFault>>,
}

/// What an operation does.
#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum Verbs {
    /// Makes it.
    Insert,
    /// Changes it.
    Update,
    /// Ends it.
    Delete,
    /// Executes what is parked of it.
    Retry,
    /// Gives up the first that is parked of it.
    Discard,
}

/// How far an event has come.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Statuses {
    /// In the log.
    Stored,
    /// Carried out.
    Executed,
    /// Refused.
    Rejected,
    /// Set aside.
    Parked,
}

/// The headers of whatever is accepted.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct SubmissionHeaders {
    /// Repeating a request under its key repeats the answer and nothing else. Bare
    /// or in quotes.
    #[param(
        required = false,
        max_length = 255,
        pattern = r#"^([!#-~]([ -~]{0,253}[!-~])?|"[ -~]{1,253}")$"#
    )]
    #[param(rename = "Idempotency-Key")]
    key: Option<String>,
    /// What everything that this request sets off can be found by, at
    /// `/correlation/{id}`: a UUID, or any other text.
    #[param(required = false)]
    #[param(rename = "X-Correlation-ID")]
    correlation: Option<String>,
}

/// The header `If-Match`.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfMatch {
    /// The versions that the change may be based on, as in `ETag`: a list, or `*`. Compared as
    /// texts; a weak tag never matches.
    #[param(
        required = false,
        pattern = r#"^(\*|(W/)?"[!#-~]{0,20}"( ?, ?(W/)?"[!#-~]{0,20}"){0,5})$"#
    )]
    #[param(rename = "If-Match")]
    tag: Option<String>,
}

/// The header `If-None-Match` of a change.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfNoneMatchWrite {
    /// Versions at which the change must not be carried out, as in `ETag`: a list; or `*`, at
    /// none at all.
    #[param(
        required = false,
        pattern = r#"^(\*|(W/)?"[!#-~]{0,20}"( ?, ?(W/)?"[!#-~]{0,20}"){0,5})$"#
    )]
    #[param(rename = "If-None-Match")]
    tag: Option<String>,
}

/// The header `If-None-Match`.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IfNoneMatch {
    /// What the client has already, as in `ETag`.
    #[param(required = false)]
    #[param(rename = "If-None-Match")]
    tag: Option<String>,
}

/// The header `Prefer`.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Prefer {
    /// `wait=SECONDS`: how long the answer may wait, at most 60. Where as many answers wait as
    /// may, a read is refused (429, 503), and a write is answered without waiting.
    #[param(required = false)]
    #[param(rename = "Prefer")]
    wait: Option<String>,
}

/// Durable; carried out soon.
#[derive(IntoResponses)]
#[response(
    status = 202,
    headers(
        ("Location" = String, description = "What it makes or changes"),
        ("Operation-Location" = String, description = "The receipt"),
    )
)]
pub struct Accepted;

/// The client has it already.
#[derive(IntoResponses)]
#[response(status = 304)]
pub struct NotModified;

/// There is no operation with this id, or it is not the bearer's.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub struct NoSuchOperation(#[to_schema] Problem);

/// Nothing is parked by that id.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub struct NothingParked(#[to_schema] Problem);

/// There is no read model of this name.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub struct NoSuchReadModel(#[to_schema] Problem);

/// There is nothing of this name that could be made anew.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub struct NoSuchPart(#[to_schema] Problem);

/// Another operation of the same entity is parked before it; or another request with the same
/// idempotency key is being accepted, and `Retry-After` says when to repeat this one.
#[derive(IntoResponses)]
#[response(status = 409, content_type = "application/problem+json")]
pub struct NotFirst(#[to_schema] Problem);

/// It is not, or not any more, as `If-Match` or `If-None-Match` want it.
#[derive(IntoResponses)]
#[response(status = 412, content_type = "application/problem+json")]
pub struct Changed(#[to_schema] Problem);

/// The idempotency key was used before with other content.
#[derive(IntoResponses)]
#[response(status = 422, content_type = "application/problem+json")]
pub struct KeyReused(#[to_schema] Problem);

/// Which page of what stands in the log.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParameters {
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// Only what stands after this position, as in `Link`.
    #[param(minimum = 0)]
    after: Option<u64>,
}
