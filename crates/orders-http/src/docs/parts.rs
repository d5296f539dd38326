//! What the descriptions of several calls on orders have in common. The types are never
//! made: they only describe what is read and answered elsewhere.
#![expect(dead_code, reason = "described, never made")]

pub(crate) use bakehouse_http::response::openapi_components::*;
use bakehouse_orders::{Document, Status};
use utoipa::{IntoParams, IntoResponses, ToSchema};

/// How far a notification has come: it is on record; somebody has tried to send
/// it, and will try again; the other side has taken it; it was given up.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(crate) enum NotificationStatuses {
    Requested,
    Accepted,
    Sent,
    Failed,
    #[schema(rename = "not-sent")]
    NotSent,
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

/// Which page of an order's history.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryParameters {
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<u32>,
    /// Only what stands after this position, as in `Link`.
    #[param(minimum = 0)]
    after: Option<u64>,
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

/// With `Prefer: wait`: the order as it was placed.
#[derive(IntoResponses)]
#[response(
    status = 201,
    headers(
        ("Location" = String, description = "The order"),
        ("Operation-Location" = String, description = "The receipt"),
        ("Preference-Applied" = String, description = "The wait that was granted"),
    )
)]
pub(crate) struct Placed(#[to_schema] Document);

/// With `Prefer: wait`: the order with the file.
#[derive(IntoResponses)]
#[response(
    status = 201,
    headers(
        ("Location" = String, description = "The file"),
        ("Operation-Location" = String, description = "The receipt"),
        ("Preference-Applied" = String, description = "The wait that was granted"),
    )
)]
pub(crate) struct Attached(#[to_schema] Document);

/// With `Prefer: wait`: the order as the change left it.
#[derive(IntoResponses)]
#[response(
    status = 200,
    headers(
        ("Location" = String, description = "The order"),
        ("Operation-Location" = String, description = "The receipt"),
        ("Preference-Applied" = String, description = "The wait that was granted"),
    )
)]
pub(crate) struct CarriedOut(#[to_schema] Document);

/// With `Prefer: wait`, it was refused when it was to be carried out (`type` ends with
/// `refused`); or another request with the same idempotency key is being accepted, and
/// `Retry-After` says when to repeat this one.
#[derive(IntoResponses)]
#[response(status = 409, content_type = "application/problem+json")]
pub(crate) struct Refused(#[to_schema] Problem);

/// There is no order with this id, or not yet, or it is not the bearer's.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchOrder(#[to_schema] Problem);

/// There is no such order, or it has no such file, or not yet, or it is not the
/// bearer's.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchAttachment(#[to_schema] Problem);

/// The prices have more digits than the order's currency; or, with `Prefer: wait`, the change was
/// refused when it was to be carried out (`type` ends with `refused`); or another request with the
/// same idempotency key is being accepted, and `Retry-After` says when to repeat this one.
#[derive(IntoResponses)]
#[response(status = 409, content_type = "application/problem+json")]
pub(crate) struct OtherCurrency(#[to_schema] Problem);
