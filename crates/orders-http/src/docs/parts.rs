//! Parts of the OpenAPI description that several operations on orders share. The types are never
//! constructed; they only describe parameters and responses that other code handles.
#![expect(dead_code, reason = "described, never constructed")]

pub(crate) use bakehouse_http::response::openapi_components::*;
use bakehouse_orders::{Document, Status};
use utoipa::{IntoParams, IntoResponses, ToSchema};

/// Status of a notification: `requested` (not attempted yet), `accepted` (attempted, retried if the
/// attempt fails), `sent` (confirmed by the recipient's server), `failed` (abandoned after the last
/// attempt) or `not-sent` (still pending in a backup that was restored, and not sent after that).
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

/// Channel of a notification.
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
    /// Id of the order, as in `Location`.
    #[param(format = "uuid")]
    id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct AttachmentId {
    /// Id of the file, as in `Location` or in the list.
    #[param(format = "uuid")]
    attachment_id: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AsOfParameter {
    /// Returns the order as it was after this log position, or at this time.
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
    /// Maximum number of orders in the page.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// Start of the page, as given in the `Link` header of the same list.
    #[param(pattern = "^[0-9a-f]{1,16}-[0-9a-f]{16}$")]
    cursor: Option<String>,
    /// Only orders with this status.
    #[param(inline)]
    status: Option<Status>,
    /// Only orders of the customer with this id.
    #[param(
        min_length = 1,
        max_length = 200,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]+$"
    )]
    customer: Option<String>,
    /// Only orders created after this time.
    #[param(format = DateTime)]
    created_after: Option<String>,
    /// Only orders created before this time.
    #[param(format = DateTime)]
    created_before: Option<String>,
    /// Time to sort by; with `-`, latest first.
    #[param(inline)]
    sort: Option<Sorts>,
}

/// Parameters that select a page of an order's history.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryParameters {
    /// Maximum number of entries in the page.
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<u32>,
    /// Only entries after this position, as given in the `Link` header.
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

/// With `Prefer: wait`: the new order.
#[derive(IntoResponses)]
#[response(
    status = 201,
    headers(
        ("Location" = String, description = "Path of the order"),
        ("Operation-Location" = String, description = "Path of the receipt"),
        ("Preference-Applied" = String, description = "The wait that the server applied"),
    )
)]
pub(crate) struct Placed(#[to_schema] Document);

/// With `Prefer: wait`: the order with the file.
#[derive(IntoResponses)]
#[response(
    status = 201,
    headers(
        ("Location" = String, description = "Path of the file"),
        ("Operation-Location" = String, description = "Path of the receipt"),
        ("Preference-Applied" = String, description = "The wait that the server applied"),
    )
)]
pub(crate) struct Attached(#[to_schema] Document);

/// With `Prefer: wait`: the order after the change.
#[derive(IntoResponses)]
#[response(
    status = 200,
    headers(
        ("Location" = String, description = "Path of the order"),
        ("Operation-Location" = String, description = "Path of the receipt"),
        ("Preference-Applied" = String, description = "The wait that the server applied"),
    )
)]
pub(crate) struct CarriedOut(#[to_schema] Document);

/// With `Prefer: wait`, the operation was rejected at execution (`type` ends with `refused`); or
/// another request with the same idempotency key is being accepted: repeat this one after
/// `Retry-After`.
#[derive(IntoResponses)]
#[response(status = 409, content_type = "application/problem+json")]
pub(crate) struct Refused(#[to_schema] Problem);

/// There is no order with this id, it has not been processed yet, or it belongs to someone else.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchOrder(#[to_schema] Problem);

/// There is no such order or file, it has not been processed yet, or it belongs to someone else.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
pub(crate) struct NoSuchAttachment(#[to_schema] Problem);

/// The prices have more decimal places than the order's currency; or, with `Prefer: wait`, the
/// operation was rejected at execution (`type` ends with `refused`); or another request with the
/// same idempotency key is being accepted: repeat this one after `Retry-After`.
#[derive(IntoResponses)]
#[response(status = 409, content_type = "application/problem+json")]
pub(crate) struct OtherCurrency(#[to_schema] Problem);
