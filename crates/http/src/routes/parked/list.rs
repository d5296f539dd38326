//! `GET /parked`: what has been set aside, and why.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::ports::{Selection, Senders};
use bakehouse_engine::{LogEntry, Position, Timestamp, Verb};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api_definition::{ApiDefinition, NamedId};
use crate::auth::{Principal, operators_only};
use crate::request::query::Page;
use crate::response::openapi_components::{PageParameters, Verbs};
use crate::response::problem::Problem;
use crate::state::AppState;

/// An operation that was accepted and could be neither executed nor refused, or
/// that stands behind one of the same entity that could not.
#[derive(Serialize, ToSchema)]
#[schema(as = Parked)]
struct Line<'a> {
    #[schema(value_type = u64)]
    position: Position,
    #[schema(value_type = String, format = "uuid")]
    operation_id: Uuid,
    #[serde(flatten)]
    #[schema(ignore)]
    entity_id: NamedId,
    #[schema(value_type = Verbs)]
    operation: Verb,
    /// Why it was set aside.
    reason: &'a str,
    /// Who asked for it, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    /// In whose stead, if not in their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<&'a str>,
    #[schema(value_type = String, format = DateTime)]
    accepted_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    stored_at: Timestamp,
}

/// See what has been set aside
///
/// All others go on. Takes the scope that ends with `:admin`.
#[utoipa::path(
    get,
    path = "/parked",
    operation_id = "list_parked",
    tag = "operators",
    params(PageParameters),
    responses(
        (status = 200, description = "From the oldest on", body = [Line],
            headers(("Link" = Option<String>, description = "The next page, if there is one"))),
    )
)]
pub(super) async fn list(
    request: HttpRequest,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    operators_only(&principal, &state)?;
    let page = Page::of(request.query_string())?;
    let _turn = state.limits.read(&request, &principal).await?;
    let query = page.of_log(Selection::Parked(None), Senders::Any);
    let mut events = state.log.summaries(&query).await?;
    let mut answer = HttpResponse::Ok();
    if let Some(next) = page.cut(&mut events, "/parked") {
        answer.insert_header(next);
    }
    let lines: Vec<_> = events.iter().map(|event| line(event, &state.api)).collect();
    Ok(answer.json(lines))
}

fn line<'a>(event: &'a LogEntry, api: &ApiDefinition) -> Line<'a> {
    Line {
        position: event.position,
        operation_id: event.operation.operation_id,
        entity_id: api.named(event.entity_id()),
        operation: event.operation.operation,
        reason: event.parked.as_deref().unwrap_or_default(),
        actor: event.operation.terms.actor.as_deref(),
        on_behalf_of: event.operation.terms.on_behalf_of.as_deref(),
        accepted_at: event.operation.accepted_at,
        stored_at: event.creation_time,
    }
}
