//! `GET /order/{id}/history`: all operations of the order in order, and the order as it was after
//! any of them.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::ports::{Selection, Senders, SummaryQuery};
use bakehouse_engine::{EntryStatus, Json, LogEntry, Position, Timestamp, Verb};
use bakehouse_http::AppState;
use bakehouse_http::auth::Principal;
use bakehouse_http::reads;
use bakehouse_http::reads::{entity_not_found, find, position_at};
use bakehouse_http::request::path_id::PathId;
use bakehouse_http::request::prefer::Wait;
use bakehouse_http::request::query::Page;
use bakehouse_http::response::problem::Problem;
use bakehouse_orders::Orders;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::docs::parts::{HistoryParameters, NoSuchOrder, OrderId, Prefer, Statuses, Verbs};

/// Entry of an order's history: one operation and its result.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
struct HistoryEntry<'a> {
    #[schema(value_type = u64)]
    position: Position,
    #[schema(value_type = String, format = "uuid")]
    operation_id: Uuid,
    #[schema(value_type = Verbs)]
    operation: Verb,
    #[schema(value_type = Statuses)]
    status: EntryStatus,
    /// Type of the event, as on the feed; absent before execution.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Machine-readable code of the rejection, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    /// Reason why the operation was parked, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    parked: Option<&'a str>,
    /// Position of the entry that resolved the operation, if it was parked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    #[serde(rename = "settled_by")]
    resolved_by: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    /// Subject on whose behalf the actor sent the operation, if not their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<&'a str>,
    #[schema(value_type = String, format = DateTime)]
    accepted_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    stored_at: Timestamp,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    executed_at: Option<Timestamp>,
}

/// Number of entries in a page if the request gives no limit.
const DEFAULT_LIMIT: usize = 100;

/// Read an order's history
///
/// All operations in order, each with its result and the reason of a rejection, in pages. With
/// `Prefer: wait`, the request waits until the order exists.
#[utoipa::path(
    get,
    path = "/order/{id}/history",
    tag = "orders",
    params(OrderId, HistoryParameters, Prefer),
    responses(
        (status = 200, description = "A page of entries, oldest first", body = [HistoryEntry],
            headers(("Link" = Option<String>, description = "The next page, if there is one"))),
        NoSuchOrder,
    )
)]
pub(super) async fn history(
    request: HttpRequest,
    id: web::Path<PathId>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let page = Page::with_default(request.query_string(), DEFAULT_LIMIT)?;
    if let Some(wait) = Wait::of(&request, &principal, &state)? {
        reads::document(&state, &principal, &id, Some(&wait), |_| true).await?;
    }
    let _permit = state.limits.read(&request, &principal).await?;
    // An owner does not see rejected operations that other owners sent to the order.
    let senders = match principal.restricted_to_owner() {
        None => Senders::Any,
        Some(owner) => {
            check_owner(&state, owner, &id).await?;
            Senders::OwnerOrNone(owner)
        }
    };
    let query = page.of_log(Selection::Entity(&id), senders);
    let mut entries = state.log.summaries(&query).await?;
    if entries.is_empty() && page.after == 0 {
        return Err(entity_not_found(&state));
    }
    let mut answer = HttpResponse::Ok();
    if let Some(next) = page.cut(&mut entries, &format!("/order/{id}/history")) {
        answer.insert_header(next);
    }
    let history: Vec<HistoryEntry<'_>> = entries.iter().map(history_entry).collect();
    Ok(answer.json(history))
}

/// Checks that `owner` owns the order, according to the operation that created it.
///
/// # Errors
/// 404 if the order does not exist or has another owner.
async fn check_owner(state: &AppState, owner: &str, id: &str) -> Result<(), Problem> {
    let query = SummaryQuery::first(Selection::Creation(id), 1);
    let creation = state.log.summaries(&query).await?.pop();
    let order_owner = creation.and_then(|entry| entry.operation.terms.owner);
    if order_owner.as_deref() == Some(owner) {
        return Ok(());
    }
    Err(entity_not_found(state))
}

fn history_entry(entry: &LogEntry) -> HistoryEntry<'_> {
    HistoryEntry {
        position: entry.position,
        operation_id: entry.operation.operation_id,
        operation: entry.operation.operation,
        status: entry.status,
        kind: entry.kind(),
        reason: entry.reason.as_deref(),
        code: entry.code.as_deref(),
        parked: entry.parked.as_deref(),
        resolved_by: entry.resolved_by,
        actor: entry.operation.terms.actor.as_deref(),
        on_behalf_of: entry.operation.terms.on_behalf_of.as_deref(),
        accepted_at: entry.operation.accepted_at,
        stored_at: entry.creation_time,
        executed_at: entry.execution_time,
    }
}

/// Point in the log at which an order is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AsOf {
    /// After the entry at this position.
    Position(Position),
    /// After the last entry that was stored at or before this time.
    Time(Timestamp),
}

impl AsOf {
    /// Parses the query parameter `as_of`; the error is a text for the client.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let position = text.parse().map(Self::Position);
        let parsed = position.or_else(|_| Timestamp::parse(text).map(Self::Time));
        parsed.map_err(|_| {
            "expected a position (1, 2, 3, …) or a time of RFC 3339, such as 2026-01-31T12:00:00Z"
                .to_owned()
        })
    }
}

/// Returns the order's document as of this point in the log.
///
/// # Errors
/// 404 if the order did not exist at that point, or if the position has not been reached yet.
pub(super) async fn document_as_of(
    state: &AppState,
    principal: &Principal,
    id: &str,
    point: AsOf,
) -> Result<Json, Problem> {
    let head = state.feed.head_position();
    if let AsOf::Position(position) = point
        && position > head
    {
        let detail =
            format!("position {position} has not been reached yet; the last one is {head}");
        return Err(Problem::not_found(detail));
    }
    let document = find(state, principal, id)
        .await?
        .ok_or_else(|| entity_not_found(state))?;
    let position = match point {
        AsOf::Position(position) => position,
        AsOf::Time(time) => position_at(state, time, head).await?,
    };
    let baked = reads::as_of::<Orders>(state, id, document.number, position).await?;
    baked.ok_or_else(|| Problem::not_found("there was no order with this id at that point"))
}
