//! The answer for those who prefer to wait: what came of it, instead of that it
//! will be carried out.

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
use crate::routes::receipt::at_rest;
use crate::state::AppState;

/// Makes the operation durable. With `Prefer: wait` the answer is 200 (201 for what
/// [`Submission::creates`]) with the document as the operation left it, or 409 with the reason
/// why it was refused (412 for another version than the one expected); without, or when time is
/// up, or it was set aside, it is that of [`accept`].
///
/// Whatever goes wrong while waiting, the operation is accepted, and the answer
/// says so.
///
/// # Errors
/// Those of [`accept`]; 409 or 412 when the domain refused it.
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
    pending.settled(state, &wait).await
}

/// Answers a request that the log has under its idempotency key, before anything else of it is
/// looked at; with `Prefer: wait` as [`accept_and_wait`] does, with `success` for what was
/// carried out. `None`: the log has nothing under the key, or another request; or the request
/// was not given ([`Identity::by_request`]).
///
/// # Errors
/// 409 when another request under the same key takes too long, or the domain refused it; 412
/// when it refused it for its version.
pub async fn repeat_and_wait(
    request: &HttpRequest,
    principal: &Principal,
    state: &AppState,
    identity: &mut Identity,
    success: StatusCode,
) -> Result<Option<HttpResponse>, Problem> {
    let Some((accepted, event)) = repeated(identity, state).await? else {
        return Ok(None);
    };
    let Some(wait) = Wait::of_write(request, principal, state) else {
        return Ok(Some(accepted));
    };
    // Others under the key need not wait for what is waited for here.
    identity.end_turn();
    let pending = Pending {
        accepted: applied(accepted, &wait),
        operation_id: identity.operation_id,
        fingerprint: event.operation.fingerprint.clone(),
        known: Some(event),
        success,
    };
    pending.settled(state, &wait).await.map(Some)
}

/// An accepted operation that is waited for.
struct Pending {
    /// Answer if it is not settled in time.
    accepted: HttpResponse,
    operation_id: Uuid,
    fingerprint: String,
    /// Event of the operation as it was a moment ago, if the log had it.
    known: Option<LogEntry>,
    /// Status of the answer if it is carried out.
    success: StatusCode,
}

impl Pending {
    async fn settled(self, state: &AppState, wait: &Wait) -> Result<HttpResponse, Problem> {
        let accepted = self.accepted;
        let event = at_rest(state, self.operation_id, self.known, wait).await;
        let Ok(Some(event)) = event else {
            return Ok(accepted);
        };
        if !Operation::is_same(&event.operation.fingerprint, &self.fingerprint) {
            // Another came first under the same key, while this one was on its way.
            return Err(Problem::key_reused());
        }
        match event.status {
            EntryStatus::Rejected => Err(refused(&accepted, &event)),
            // What an operator's remedy led to is more than this operation's doing.
            EntryStatus::Executed if event.settled_by.is_some() => Ok(accepted),
            EntryStatus::Executed => match document(state, &event).await {
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

/// The document as the event left it, which its frame has; `None`: it is not baked
/// yet, or that cannot be found out.
async fn document(state: &AppState, event: &LogEntry) -> Option<Json> {
    let before = event.position - 1;
    let frames = state.presentation.frames(before, 1).await.ok()?;
    let frame = frames
        .into_iter()
        .find(|frame| frame.position == event.position)?;
    let members: HashMap<&str, &RawValue> = serde_json::from_str(frame.body.get()).ok()?;
    let document = members.get(state.api.entity)?;
    Some(Json::from((*document).to_owned()))
}

/// The refusal, with what tells of the operation.
fn refused(accepted: &HttpResponse, event: &LogEntry) -> Problem {
    let headers = accepted.headers().iter();
    let headers = headers.filter_map(|(name, value)| Some((name, value.to_str().ok()?)));
    headers.fold(
        Problem::refused(&event.rejection()),
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
