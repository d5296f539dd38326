//! `GET /parked`: parked operations with their reasons.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::ports::{Selection, Senders};
use bakehouse_engine::{LogEntry, Position, Timestamp, Verb};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api_definition::{ApiDefinition, NamedId};
use crate::auth::{Principal, require_operator};
use crate::request::query::Page;
use crate::response::openapi_components::{PageParameters, Verbs};
use crate::response::problem::Problem;
use crate::state::AppState;

/// Accepted operation that could be neither executed nor rejected, or that follows such an
/// operation of the same entity.
#[derive(Serialize, ToSchema)]
#[schema(as = Parked)]
struct ParkedOperation<'a> {
    #[schema(value_type = u64)]
    position: Position,
    #[schema(value_type = String, format = "uuid")]
    operation_id: Uuid,
    #[serde(flatten)]
    #[schema(ignore)]
    entity_id: NamedId,
    #[schema(value_type = Verbs)]
    operation: Verb,
    /// Reason for which the operation was parked.
    reason: &'a str,
    /// Subject that submitted the operation, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    /// Subject on whose behalf the operation was submitted, if not the actor's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<&'a str>,
    #[schema(value_type = String, format = DateTime)]
    accepted_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    stored_at: Timestamp,
}

/// List the parked operations
///
/// Operations of other entities are executed meanwhile. Requires the scope that ends with
/// `:admin`.
#[utoipa::path(
    get,
    path = "/parked",
    operation_id = "list_parked",
    tag = "operators",
    params(PageParameters),
    responses(
        (status = 200, description = "Parked operations, oldest first", body = [ParkedOperation],
            headers(("Link" = Option<String>, description = "Next page, if there is one"))),
    )
)]
pub(super) async fn list(
    request: HttpRequest,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    require_operator(&principal, &state)?;
    let page = Page::of(request.query_string())?;
    let _turn = state.limits.read(&request, &principal).await?;
    let query = page.of_log(Selection::Parked(None), Senders::Any);
    let mut entries = state.log.summaries(&query).await?;
    let mut response = HttpResponse::Ok();
    if let Some(next) = page.cut(&mut entries, "/parked") {
        response.insert_header(next);
    }
    let operations: Vec<_> = entries
        .iter()
        .map(|entry| parked_operation(entry, &state.api))
        .collect();
    Ok(response.json(operations))
}

fn parked_operation<'a>(entry: &'a LogEntry, api: &ApiDefinition) -> ParkedOperation<'a> {
    ParkedOperation {
        position: entry.position,
        operation_id: entry.operation.operation_id,
        entity_id: api.named(entry.entity_id()),
        operation: entry.operation.operation,
        reason: entry.parked.as_deref().unwrap_or_default(),
        actor: entry.operation.terms.actor.as_deref(),
        on_behalf_of: entry.operation.terms.on_behalf_of.as_deref(),
        accepted_at: entry.operation.accepted_at,
        stored_at: entry.creation_time,
    }
}
