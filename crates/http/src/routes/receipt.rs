//! `GET /operation/{id}`: the receipt of an operation, from accepted to baked, or rejected with
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
use crate::limits::is_final;
use crate::request::prefer::Wait;
use crate::request::query::Parameters;
use crate::response::openapi_components::{NoSuchOperation, Prefer, Verbs};
use crate::response::problem::Problem;
use crate::state::AppState;

/// Timeout of the read of the log after a wait without a result.
const FINAL_READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Progress of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Progress {
    /// Accepted durably, not in the log yet.
    Accepted,
    /// Stored in the log, not executed yet.
    Stored,
    /// Executed; visible to readers soon.
    Executed,
    /// Rejected at execution.
    Rejected,
    /// Parked until an operator resolves it.
    Parked,
    /// Visible to readers.
    Baked,
}

/// Receipt of an operation, for its sender.
#[derive(Serialize, ToSchema)]
pub(crate) struct Receipt {
    #[schema(value_type = String, format = "uuid")]
    operation_id: Uuid,
    status: Progress,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    position: Option<Position>,
    /// Position at which a parked operation was resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    #[serde(rename = "settled_by")]
    resolved_by: Option<Position>,
    #[serde(flatten)]
    #[schema(ignore)]
    entity_id: Option<NamedId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Verbs>)]
    operation: Option<Verb>,
    /// Type as on the feed; absent before execution.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Code of the rejection, for programs, if it has one.
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

/// OpenAPI documentation of this route.
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

/// Get an operation's receipt
///
/// With `Prefer: wait`, the response waits until the operation is baked, rejected or parked.
#[utoipa::path(
    get,
    path = "/operation/{id}",
    operation_id = "show_operation",
    tag = "operations",
    params(
        ("id" = String, Path, format = "uuid",
            description = "Id of the operation, as in `Operation-Location`"),
        Prefer,
    ),
    responses(
        (status = 200, description = "Receipt of the operation", body = Receipt,
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
    let mut entry = visible(state.log.summary(id).await?, &principal, id)?;
    if let Some(wait) = &wait {
        entry = visible(
            wait_until_final(&state, id, entry, wait).await?,
            &principal,
            id,
        )?;
    }
    let receipt = match entry {
        // Read after the log, so that the operation is not reported at a later stage than it is.
        Some(entry) => Receipt::of(entry, state.feed.head_position(), &state.api),
        None => Receipt::accepted(id),
    };
    let mut response = HttpResponse::Ok();
    if !receipt.is_final() {
        response.insert_header((RETRY_AFTER, "1"));
    }
    if let Some(wait) = wait {
        response.insert_header(wait.applied());
    }
    Ok(response.json(receipt))
}

fn not_found() -> Problem {
    Problem::not_found("there is no operation with this id")
}

/// Waits until an operation is at rest, that is baked, rejected or parked, and returns its log
/// entry; returns the current one when the wait is over. `known` is the entry as last read.
///
/// # Errors
/// [`StoreError`], when the log does not answer.
pub(crate) async fn wait_until_final(
    state: &AppState,
    id: Uuid,
    known: Option<LogEntry>,
    wait: &Wait,
) -> Result<Option<LogEntry>, StoreError> {
    let head = state.feed.head_position();
    let is_final = known.as_ref().is_some_and(|entry| is_final(entry, head));
    if is_final || wait.is_over() {
        return Ok(known);
    }
    let mut outcome = state.limits.awaited.outcome_of(id);
    match wait.wait_for(outcome.wait_until_final()).await.flatten() {
        Some(entry) => Ok(Some(entry.as_ref().clone())),
        // The timeout lets the response be sent before a shutdown closes the connections.
        None => tokio::time::timeout(FINAL_READ_TIMEOUT, state.log.summary(id))
            .await
            .unwrap_or_else(|_| Err(StoreError::unavailable("the log: no answer in time"))),
    }
}

/// Returns the entry if the principal may view it; `None` for an operation of its own that is not
/// in the log yet.
///
/// # Errors
/// 404 for all other operations.
fn visible(
    entry: Option<LogEntry>,
    principal: &Principal,
    id: Uuid,
) -> Result<Option<LogEntry>, Problem> {
    match entry {
        Some(entry) if principal.can_view(entry.operation.terms.owner.as_deref()) => {
            Ok(Some(entry))
        }
        None if ids::is_issued(id, &principal.subject()) => Ok(None),
        _ => Err(not_found()),
    }
}

impl Receipt {
    /// Receipt of an operation that is not in the log yet.
    fn accepted(operation_id: Uuid) -> Self {
        Self {
            operation_id,
            status: Progress::Accepted,
            position: None,
            resolved_by: None,
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

    /// Receipt of an operation in the log; `baked` is the position of the presentation.
    pub(crate) fn of(entry: LogEntry, baked: Position, api: &ApiDefinition) -> Self {
        let takes_effect_at = entry.resolved_by.unwrap_or(entry.position);
        let status = match entry.status {
            EntryStatus::Stored => Progress::Stored,
            EntryStatus::Executed if takes_effect_at <= baked => Progress::Baked,
            EntryStatus::Executed => Progress::Executed,
            EntryStatus::Rejected => Progress::Rejected,
            EntryStatus::Parked => Progress::Parked,
        };
        let kind = entry.kind();
        let entity_id = api.named(entry.entity_id());
        let parked_reason = entry.parked.filter(|_| status == Progress::Parked);
        Self {
            operation_id: entry.operation.operation_id,
            status,
            position: Some(entry.position),
            resolved_by: entry.resolved_by,
            kind,
            entity_id: Some(entity_id),
            operation: Some(entry.operation.operation),
            reason: entry.reason.or(parked_reason),
            code: entry.code,
            accepted_at: Some(entry.operation.accepted_at),
            stored_at: Some(entry.creation_time),
            executed_at: entry.execution_time,
        }
    }

    fn is_final(&self) -> bool {
        matches!(self.status, Progress::Rejected | Progress::Baked)
    }
}
