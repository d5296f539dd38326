//! `GET /order/{id}/notifications`: notifications that were sent about an order.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::model::notification::NotificationStatus;
use bakehouse_engine::{Notification, Position, Timestamp};
use bakehouse_http::AppState;
use bakehouse_http::auth::Principal;
use bakehouse_http::reads;
use bakehouse_http::reads::entity_not_found;
use bakehouse_http::request::path_id::PathId;
use bakehouse_http::request::prefer::Wait;
use bakehouse_http::request::query::Parameters;
use bakehouse_http::response::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::docs::parts::{Channels, NoSuchOrder, NotificationStatuses, OrderId, Prefer};

/// Notification about an event of an order.
#[derive(Serialize, ToSchema)]
#[schema(as = Notification)]
struct NotificationEntry<'a> {
    /// Id of the notification, equal for all attempts; it is sent to the recipient as well.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// Position of the event.
    #[schema(value_type = u64)]
    position: Position,
    /// Type of the event, as on the feed.
    #[serde(rename = "type")]
    kind: &'a str,
    #[schema(value_type = Channels)]
    channel: &'a str,
    /// Recipient: an e-mail address, a phone number, or the host of a webhook.
    to: &'a str,
    #[schema(value_type = NotificationStatuses)]
    status: NotificationStatus,
    /// Number of attempts so far.
    attempts: u32,
    /// Reason why the latest attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[schema(value_type = String, format = DateTime)]
    requested_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    accepted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    sent_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    failed_at: Option<Timestamp>,
}

/// List an order's notifications
///
/// E-mails and text messages to the customer, and webhook deliveries, each with its status, in the
/// order of the events. With `Prefer: wait`, the request waits until the order exists.
#[utoipa::path(
    get,
    path = "/order/{id}/notifications",
    tag = "orders",
    params(OrderId, Prefer),
    responses((status = 200, description = "The notifications, oldest first", body = [NotificationEntry]), NoSuchOrder)
)]
pub(super) async fn notifications(
    request: HttpRequest,
    id: web::Path<PathId>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    Parameters::of(request.query_string()).finish()?;
    let wait = Wait::of(&request, &principal, &state)?;
    let order = reads::document(&state, &principal, &id, wait.as_ref(), |_| true).await?;
    order.ok_or_else(|| entity_not_found(&state))?;
    let found = state.notifications.of(&id).await?;
    let entries: Vec<NotificationEntry<'_>> = found.iter().map(notification_entry).collect();
    Ok(HttpResponse::Ok().json(entries))
}

fn notification_entry(notification: &Notification) -> NotificationEntry<'_> {
    let ended = |status| {
        notification
            .ended_at
            .filter(|_| notification.status == status)
    };
    NotificationEntry {
        id: notification.id,
        position: notification.position,
        kind: &notification.kind,
        channel: &notification.channel,
        to: &notification.to,
        status: notification.status,
        attempts: notification.attempts,
        reason: notification.reason.as_deref(),
        requested_at: notification.requested_at,
        accepted_at: notification.accepted_at,
        sent_at: ended(NotificationStatus::Sent),
        failed_at: ended(NotificationStatus::Failed),
    }
}
