//! `GET /order/{id}/history`: every event of the order, in order; and the order
//! as it was at any of them.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::ports::{Selection, Senders, SummaryQuery};
use bakehouse_engine::{EntryStatus, Json, LogEntry, Position, Timestamp, Verb};
use bakehouse_http::AppState;
use bakehouse_http::auth::Principal;
use bakehouse_http::reads;
use bakehouse_http::reads::{find, no_such, position_at};
use bakehouse_http::request::path_id::PathId;
use bakehouse_http::request::prefer::Wait;
use bakehouse_http::request::query::Page;
use bakehouse_http::response::problem::Problem;
use bakehouse_orders::Orders;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::docs::parts::{HistoryParameters, NoSuchOrder, OrderId, Prefer, Statuses, Verbs};

/// A line of the history.
#[derive(Serialize, ToSchema)]
#[schema(as = LogEntry)]
struct Line<'a> {
    #[schema(value_type = u64)]
    position: Position,
    #[schema(value_type = String, format = "uuid")]
    operation_id: Uuid,
    #[schema(value_type = Verbs)]
    operation: Verb,
    #[schema(value_type = Statuses)]
    status: EntryStatus,
    /// As on the feed; absent before execution.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// What kind of refusal it was, where kinds are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    /// Why it was set aside, if it ever was.
    #[serde(skip_serializing_if = "Option::is_none")]
    parked: Option<&'a str>,
    /// Where its effect stands, if it had been parked before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    settled_by: Option<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    /// In whose stead, if not in their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<&'a str>,
    #[schema(value_type = String, format = DateTime)]
    accepted_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    stored_at: Timestamp,
    #[schema(required, value_type = Option<String>, format = DateTime)]
    executed_at: Option<Timestamp>,
}

/// Lines of a page that does not say otherwise.
const DEFAULT_LIMIT: usize = 100;

/// History of an order
///
/// Every operation in order, what came of it, and why it was rejected if it was; a page at a
/// time. With `Prefer: wait`, as soon as the order is there.
#[utoipa::path(
    get,
    path = "/order/{id}/history",
    tag = "orders",
    params(OrderId, HistoryParameters, Prefer),
    responses(
        (status = 200, description = "From the oldest on", body = [Line],
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
    let _turn = state.limits.read(&request, &principal).await?;
    // Those of others, who tried in vain to change it, are not among them.
    let senders = match principal.confined_to() {
        None => Senders::Any,
        Some(mine) => {
            refuse_strangers(&state, mine, &id).await?;
            Senders::OwnerOrNone(mine)
        }
    };
    let query = page.of_log(Selection::Entity(&id), senders);
    let mut events = state.log.summaries(&query).await?;
    if events.is_empty() && page.after == 0 {
        return Err(no_such(&state));
    }
    let mut answer = HttpResponse::Ok();
    if let Some(next) = page.cut(&mut events, &format!("/order/{id}/history")) {
        answer.insert_header(next);
    }
    let lines: Vec<Line<'_>> = events.iter().map(line).collect();
    Ok(answer.json(lines))
}

/// Lets only the owner of an order pass, by the operation that brings it into being.
async fn refuse_strangers(state: &AppState, mine: &str, id: &str) -> Result<(), Problem> {
    let query = SummaryQuery::first(Selection::Creation(id), 1);
    let creation = state.log.summaries(&query).await?.pop();
    let owner = creation.and_then(|event| event.operation.terms.owner);
    if owner.as_deref() == Some(mine) {
        return Ok(());
    }
    Err(no_such(state))
}

fn line(event: &LogEntry) -> Line<'_> {
    Line {
        position: event.position,
        operation_id: event.operation.operation_id,
        operation: event.operation.operation,
        status: event.status,
        kind: event.kind(),
        reason: event.reason.as_deref(),
        code: event.code.as_deref(),
        parked: event.parked.as_deref(),
        settled_by: event.settled_by,
        actor: event.operation.terms.actor.as_deref(),
        on_behalf_of: event.operation.terms.on_behalf_of.as_deref(),
        accepted_at: event.operation.accepted_at,
        stored_at: event.creation_time,
        executed_at: event.execution_time,
    }
}

/// A point in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AsOf {
    /// After everything up to this position.
    Position(Position),
    /// After everything that had been stored by then.
    Time(Timestamp),
}

impl AsOf {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let position = text.parse().map(Self::Position);
        let parsed = position.or_else(|_| Timestamp::parse(text).map(Self::Time));
        parsed.map_err(|_| {
            "expected a position (1, 2, 3, …) or a time of RFC 3339, such as 2026-01-31T12:00:00Z"
                .to_owned()
        })
    }
}

/// The order's document as it was then.
///
/// # Errors
/// 404 for an order that did not exist then, and for a position that nobody
/// knows anything of yet.
pub(super) async fn as_of(
    state: &AppState,
    principal: &Principal,
    id: &str,
    then: AsOf,
) -> Result<Json, Problem> {
    let head = state.feed.head_position();
    if let AsOf::Position(position) = then
        && position > head
    {
        let detail = format!("position {position} is not there yet; the last one baked is {head}");
        return Err(Problem::not_found(detail));
    }
    let document = find(state, principal, id)
        .await?
        .ok_or_else(|| no_such(state))?;
    let position = match then {
        AsOf::Position(position) => position,
        AsOf::Time(time) => position_at(state, time, head).await?,
    };
    let baked = reads::as_of::<Orders>(state, id, document.number, position).await?;
    baked.ok_or_else(|| Problem::not_found("there was no order with this id then"))
}
