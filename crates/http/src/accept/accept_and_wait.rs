//! Responses to `Prefer: wait`: the outcome of an operation instead of its acceptance.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use bakehouse_engine::{EntryStatus, Json, LogEntry, Operation};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::submission::{repeated, submit};
use super::{Identity, Submission, accept};
use crate::auth::Principal;
use crate::reads::json;
use crate::request::prefer::Wait;
use crate::response::problem::Problem;
use crate::routes::receipt::wait_until_final;
use crate::state::AppState;

/// Makes the operation durable and responds with its outcome if the request has `Prefer: wait`.
///
/// The response is 200 (201 if [`Submission::creates`] was called) with the document as the
/// operation left it. Without `Prefer: wait`, after its time limit, and for a parked operation,
/// the response is that of [`accept`]. Failures while waiting do not affect the acceptance: the
/// response is that of [`accept`] as well.
///
/// # Errors
/// Those of [`accept`]; 409 if the domain refused the operation, 412 if it refused it because of
/// the expected version.
pub async fn accept_and_wait(
    request: &HttpRequest,
    principal: &Principal,
    state: &AppState,
    submission: Submission,
) -> Result<HttpResponse, Problem> {
    let Some(wait) = Wait::of_write(request, principal, state) else {
        return accept(state, submission).await;
    };
    let success = submission.success();
    let (accepted, operation) = submit(state, submission).await?;
    let known = state.log.summary(operation.operation_id);
    let known = wait.wait_for(known).await;
    let pending = Pending {
        accepted: applied(accepted, &wait),
        operation_id: operation.operation_id,
        fingerprint: operation.fingerprint,
        known: known.and_then(Result::ok).flatten(),
        success,
    };
    pending.outcome(state, &wait).await
}

/// Returns the response to a repeated request, found in the log under its idempotency key.
///
/// With `Prefer: wait` the response is that of [`accept_and_wait`], with the status `success` for
/// an executed operation. Returns `None` if the log has no operation under the key, if that
/// operation is of another request, or if [`Identity::by_request`] was not called.
///
/// # Errors
/// 409 if another request under the same key takes too long, or if the domain refused the
/// operation; 412 if the domain refused it because of the expected version.
pub async fn repeat_and_wait(
    request: &HttpRequest,
    principal: &Principal,
    state: &AppState,
    identity: &mut Identity,
    success: StatusCode,
) -> Result<Option<HttpResponse>, Problem> {
    let Some((accepted, entry)) = repeated(identity, state).await? else {
        return Ok(None);
    };
    let Some(wait) = Wait::of_write(request, principal, state) else {
        return Ok(Some(accepted));
    };
    // Other requests under the key need not wait for this operation's outcome.
    identity.unlock_key();
    let pending = Pending {
        accepted: applied(accepted, &wait),
        operation_id: identity.operation_id,
        fingerprint: entry.operation.fingerprint.clone(),
        known: Some(entry),
        success,
    };
    pending.outcome(state, &wait).await.map(Some)
}

/// Accepted operation whose outcome the request waits for.
struct Pending {
    /// Response if there is no outcome in time.
    accepted: HttpResponse,
    operation_id: Uuid,
    fingerprint: String,
    /// Log entry of the operation, if the log had it before the wait.
    known: Option<LogEntry>,
    /// Status of the response once the operation is executed.
    success: StatusCode,
}

impl Pending {
    async fn outcome(self, state: &AppState, wait: &Wait) -> Result<HttpResponse, Problem> {
        let accepted = self.accepted;
        let entry = wait_until_final(state, self.operation_id, self.known, wait).await;
        let Ok(Some(entry)) = entry else {
            return Ok(accepted);
        };
        if !Operation::is_same(&entry.operation.fingerprint, &self.fingerprint) {
            // Another operation reached the log first under the same key.
            return Err(Problem::key_reused());
        }
        match entry.status {
            EntryStatus::Rejected => Err(refused(&accepted, &entry)),
            // The document also contains the effects of the operator's resolution.
            EntryStatus::Executed if entry.resolved_by.is_some() => Ok(accepted),
            EntryStatus::Executed => match document(state, &entry).await {
                Some(document) => Ok(with_document(accepted, self.success, &document)),
                None => Ok(accepted),
            },
            EntryStatus::Stored | EntryStatus::Parked => Ok(accepted),
        }
    }
}

fn applied(mut accepted: HttpResponse, wait: &Wait) -> HttpResponse {
    let (name, value) = wait.applied();
    if let Ok(value) = value.parse() {
        accepted.headers_mut().insert(name, value);
    }
    accepted
}

/// Returns the document as the operation left it, from its frame; `None` if it is not baked yet
/// or the frame cannot be read.
async fn document(state: &AppState, entry: &LogEntry) -> Option<Json> {
    let before = entry.position - 1;
    let frames = state.presentation.frames(before, 1).await.ok()?;
    let frame = frames
        .into_iter()
        .find(|frame| frame.position == entry.position)?;
    let members: HashMap<&str, &RawValue> = serde_json::from_str(frame.body.get()).ok()?;
    let document = members.get(state.api.entity)?;
    Some(Json::from((*document).to_owned()))
}

/// Returns the problem of a refused operation, with the headers of its acceptance.
fn refused(accepted: &HttpResponse, entry: &LogEntry) -> Problem {
    let headers = accepted.headers().iter();
    let headers = headers.filter_map(|(name, value)| Some((name, value.to_str().ok()?)));
    headers.fold(
        Problem::refused(&entry.rejection()),
        |problem, (name, value)| problem.with_header(name.clone(), value),
    )
}

fn with_document(accepted: HttpResponse, status: StatusCode, document: &Json) -> HttpResponse {
    let mut answer = HttpResponse::build(status);
    for header in accepted.headers() {
        answer.append_header(header);
    }
    json(&mut answer, document)
}
