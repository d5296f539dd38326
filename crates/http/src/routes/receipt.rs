//! `GET /operation/{id}`: the receipt, from accepted to baked, or rejected with
//! its reason.

use std::time::Duration;

use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::StoreError;
use bakehouse_engine::{EntryStatus, LogEntry, Position, Timestamp, Verb};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use uuid::Uuid;

use crate::api_definition::{ApiDefinition, NamedId};
use crate::auth::Principal;
use crate::limits::is_at_rest;
use crate::request::prefer::Wait;
use crate::request::query::Parameters;
use crate::response::openapi_components::{NoSuchOperation, Prefer, Verbs};
use crate::response::problem::Problem;
use crate::state::AppState;

/// Time that the look at the log may take which follows a wait in vain.
const LAST_LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// How far an operation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Progress {
    /// Durable, on its way to the log.
    Accepted,
    /// In the log.
    Stored,
    /// In the source state.
    Executed,
    /// Refused at execution.
    Rejected,
    /// Set aside; an operator will settle it.
    Parked,
    /// Where readers see it.
    Baked,
}

/// What its sender gets to know of an operation.
#[derive(Serialize, ToSchema)]
pub(crate) struct Receipt {
    #[schema(value_type = String, format = "uuid")]
    operation_id: Uuid,
    status: Progress,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    position: Option<Position>,
    /// Where its effect stands, if it had been parked before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    settled_by: Option<Position>,
    #[serde(flatten)]
    #[schema(ignore)]
    entity_id: Option<NamedId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Verbs>)]
    operation: Option<Verb>,
    /// As on the feed; absent before execution.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What kind of refusal it was, for programs, where kinds are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    accepted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    stored_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    executed_at: Option<Timestamp>,
}

/// The documentation of this call.
#[derive(OpenApi)]
#[openapi(paths(show))]
pub struct Documentation;

/// Adds the route.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let receipt = web::resource("/operation/{id}")
        .route(web::get().to(show))
        .default_service(Problem::other_methods("GET, HEAD"));
    config.service(receipt);
}

/// Read an operation's receipt
///
/// With `Prefer: wait`, as soon as it is baked, rejected or parked.
#[utoipa::path(
    get,
    path = "/operation/{id}",
    operation_id = "show_operation",
    tag = "operations",
    params(("id" = String, Path, format = "uuid", description = "As in `Operation-Location`"), Prefer),
    responses(
        (status = 200, description = "How far it has come", body = Receipt,
            headers(("Retry-After" = Option<u32>, description = "Seconds, unless it is final"))),
        NoSuchOperation,
    )
)]
async fn show(
    request: HttpRequest,
    id: web::Path<Uuid>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    Parameters::of(request.query_string()).finish()?;
    let id = id.into_inner();
    let wait = Wait::of(&request, &principal, &state)?;
    let mut event = visible(state.log.summary(id).await?, &principal, id)?;
    if let Some(wait) = &wait {
        event = visible(at_rest(&state, id, event, wait).await?, &principal, id)?;
    }
    let receipt = match event {
        // After the look at the log: what is in it is not said to be further than it is.
        Some(event) => Receipt::of(event, state.feed.head_position(), &state.api),
        None => Receipt::accepted(id),
    };
    let mut answer = HttpResponse::Ok();
    if !receipt.is_final() {
        answer.insert_header((RETRY_AFTER, "1"));
    }
    if let Some(wait) = wait {
        answer.insert_header(wait.applied());
    }
    Ok(answer.json(receipt))
}

fn not_found() -> Problem {
    Problem::not_found("there is no operation with this id")
}

/// The event of an operation as soon as nothing more becomes of it by itself; or, when time
/// is up, as it then is. `known`: as it was a moment ago.
///
/// # Errors
/// When the log does not answer.
pub(crate) async fn at_rest(
    state: &AppState,
    id: Uuid,
    known: Option<LogEntry>,
    wait: &Wait,
) -> Result<Option<LogEntry>, StoreError> {
    let head = state.feed.head_position();
    let is_done = known.as_ref().is_some_and(|event| is_at_rest(event, head));
    if is_done || wait.is_over() {
        return Ok(known);
    }
    let mut outcome = state.limits.awaited.outcome_of(id);
    match wait.wait_for(outcome.at_rest()).await.flatten() {
        Some(event) => Ok(Some(event.as_ref().clone())),
        // At a shutdown this has to be answered before connections are closed.
        None => tokio::time::timeout(LAST_LOOK_TIMEOUT, state.log.summary(id))
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("the log: no answer in time"))),
    }
}

/// The event, if the principal may see it; `None`, and no problem, for an operation of its
/// own that the log does not have yet.
fn visible(
    event: Option<LogEntry>,
    principal: &Principal,
    id: Uuid,
) -> Result<Option<LogEntry>, Problem> {
    match event {
        Some(event) if principal.can_view(event.operation.terms.owner.as_deref()) => {
            Ok(Some(event))
        }
        None if ids::is_issued(id, &principal.subject()) => Ok(None),
        _ => Err(not_found()),
    }
}

impl Receipt {
    /// Of an operation that the log does not have yet.
    fn accepted(operation_id: Uuid) -> Self {
        Self {
            operation_id,
            status: Progress::Accepted,
            position: None,
            settled_by: None,
            entity_id: None,
            operation: None,
            kind: None,
            reason: None,
            code: None,
            accepted_at: None,
            stored_at: None,
            executed_at: None,
        }
    }

    pub(crate) fn of(event: LogEntry, baked: Position, api: &ApiDefinition) -> Self {
        let takes_effect_at = event.settled_by.unwrap_or(event.position);
        let status = match event.status {
            EntryStatus::Stored => Progress::Stored,
            EntryStatus::Executed if takes_effect_at <= baked => Progress::Baked,
            EntryStatus::Executed => Progress::Executed,
            EntryStatus::Rejected => Progress::Rejected,
            EntryStatus::Parked => Progress::Parked,
        };
        let kind = event.kind();
        let entity_id = api.named(event.entity_id());
        let why_parked = event.parked.filter(|_| status == Progress::Parked);
        Self {
            operation_id: event.operation.operation_id,
            status,
            position: Some(event.position),
            settled_by: event.settled_by,
            kind,
            entity_id: Some(entity_id),
            operation: Some(event.operation.operation),
            reason: event.reason.or(why_parked),
            code: event.code,
            accepted_at: Some(event.operation.accepted_at),
            stored_at: Some(event.creation_time),
            executed_at: event.execution_time,
        }
    }

    fn is_final(&self) -> bool {
        matches!(self.status, Progress::Rejected | Progress::Baked)
    }
}
