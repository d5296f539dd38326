//! `GET /order/{id}/notifications`: who was told of what became of the order.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::model::notification::NotificationStatus;
use bakehouse_engine::{Notification, Position, Timestamp};
use bakehouse_http::AppState;
use bakehouse_http::auth::Principal;
use bakehouse_http::reads;
use bakehouse_http::reads::no_such;
use bakehouse_http::request::path_id::PathId;
use bakehouse_http::request::prefer::Wait;
use bakehouse_http::request::query::Parameters;
use bakehouse_http::response::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::docs::parts::{Channels, NoSuchOrder, NotificationStatuses, OrderId, Prefer};

/// A notification.
#[derive(Serialize, ToSchema)]
#[schema(as = Notification)]
struct Line<'a> {
    /// The same for every attempt; receivers get it as well.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// Of which event.
    #[schema(value_type = u64)]
    position: Position,
    /// As on the feed.
    #[serde(rename = "type")]
    kind: &'a str,
    #[schema(value_type = Channels)]
    channel: &'a str,
    /// An address or a number; of a webhook its host.
    to: &'a str,
    #[schema(value_type = NotificationStatuses)]
    status: NotificationStatus,
    /// How often it was tried.
    attempts: u32,
    /// Why the latest attempt failed.
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

/// Who was told of what became of an order
///
/// Mails and text messages to its customer, and webhooks: each with how far it
/// has come, in the order of the events. With `Prefer: wait`, as soon as the
/// order is there.
#[utoipa::path(
    get,
    path = "/order/{id}/notifications",
    tag = "orders",
    params(OrderId, Prefer),
    responses((status = 200, description = "From the oldest on", body = [Line]), NoSuchOrder)
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
    order.ok_or_else(|| no_such(&state))?;
    let found = state.notifications.of(&id).await?;
    let lines: Vec<Line<'_>> = found.iter().map(line).collect();
    Ok(HttpResponse::Ok().json(lines))
}

fn line(notification: &Notification) -> Line<'_> {
    let ended = |status| {
        notification
            .ended_at
            .filter(|_| notification.status == status)
    };
    Line {
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
