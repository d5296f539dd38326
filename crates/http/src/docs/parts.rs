//! What the descriptions of several calls have in common. The types are never
//! made: they only describe what is read and answered elsewhere.
#![expect(dead_code, reason = "described, never made")]

use bakehouse_orders::Status;
use utoipa::{IntoParams, IntoResponses, ToSchema};

use crate::problem::InputFault;

/// A problem document (RFC 9457).
#[derive(ToSchema)]
pub(crate) struct Problem {
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
pub(crate) enum Verbs {
    Insert,
    Update,
    Delete,
    Retry,
    Discard,
}

/// How far an event has come.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum Statuses {
    Stored,
    Executed,
    Rejected,
    Parked,
}

/// How far a notification has come: it is on record; somebody has tried to send
/// it, and will try again; the other side has taken it; it was given up.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum NotificationStatuses {
    Requested,
    Accepted,
    Sent,
    Failed,
}

/// By which way.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum Channels {
    Email,
    Sms,
    Webhook,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OrderId {
    /// As in `Location`.
    #[param(format = "uuid")]
    id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AttachmentId {
    /// As in `Location`, or in the list.
    #[param(format = "uuid")]
    attachment_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IdempotencyKey {
    /// Repeating a request under its key repeats the answer and nothing else. Bare
    /// or in quotes.
    #[param(
        required = false,
        max_length = 255,
        pattern = r#"^([!#-~]([ -~]{0,253}[!-~])?|"[ -~]{1,253}")$"#
    )]
    #[param(rename = "Idempotency-Key")]
    key: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IfMatch {
    /// The version that the change is based on, as in `ETag`.
    #[param(required = false, pattern = r#"^(\*|"[0-9]{1,18}")$"#)]
    #[param(rename = "If-Match")]
    tag: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IfNoneMatch {
    /// What the client has already, as in `ETag`.
    #[param(required = false)]
    #[param(rename = "If-None-Match")]
    tag: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct Prefer {
    /// `wait=SECONDS`: how long the answer may wait, at most 60.
    #[param(required = false)]
    #[param(rename = "Prefer")]
    wait: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AsOfParameter {
    /// The order as it was after this position, or at this time.
    #[param(inline)]
    as_of: Option<AsOf>,
}

#[derive(ToSchema)]
#[schema(as = AsOf)]
#[serde(untagged)]
enum AsOf {
    Position(u64),
    #[schema(value_type = String, format = DateTime)]
    Time(String),
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParameters {
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// Where the page begins, as in a `Link` of the same list.
    #[param(pattern = "^[0-9a-f]{1,16}-[0-9a-f]{16}$")]
    cursor: Option<String>,
    /// Only orders that stand there.
    #[param(inline)]
    status: Option<Status>,
    /// Only orders of the customer of this id.
    #[param(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]+$"
    )]
    customer: Option<String>,
    /// Only orders created later.
    #[param(format = DateTime)]
    created_after: Option<String>,
    /// Only orders created earlier.
    #[param(format = DateTime)]
    created_before: Option<String>,
    /// By which time; with `-`, the latest first.
    #[param(inline)]
    sort: Option<Sorts>,
}

#[derive(ToSchema)]
enum Sorts {
    #[schema(rename = "-created_at")]
    LatestCreated,
    #[schema(rename = "created_at")]
    Created,
    #[schema(rename = "-updated_at")]
    LatestUpdated,
    #[schema(rename = "updated_at")]
    Updated,
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
pub(crate) struct Accepted;

/// The client has it already.
#[derive(IntoResponses)]
#[response(status = 304)]
pub(crate) struct NotModified;

/// There is no order with this id, or not yet, or it is not the bearer's.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchOrder(#[to_schema] Problem);

/// There is no such order, or it has no such file, or not yet, or it is not the
/// bearer's.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchAttachment(#[to_schema] Problem);

/// There is no operation with this id, or it is not the bearer's.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchOperation(#[to_schema] Problem);

/// Nothing is parked by that id.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NothingParked(#[to_schema] Problem);

/// Another operation of the same order is parked before it.
#[derive(IntoResponses)]
#[response(status = 409, content_type = "application/problem+json")]
pub(crate) struct NotFirst(#[to_schema] Problem);

/// The prices have more digits than the order's currency.
#[derive(IntoResponses)]
#[response(status = 409, content_type = "application/problem+json")]
pub(crate) struct OtherCurrency(#[to_schema] Problem);

/// The order has been changed since.
#[derive(IntoResponses)]
#[response(status = 412, content_type = "application/problem+json")]
pub(crate) struct Changed(#[to_schema] Problem);

/// The idempotency key was used before with other content.
#[derive(IntoResponses)]
#[response(status = 422, content_type = "application/problem+json")]
pub(crate) struct KeyReused(#[to_schema] Problem);
