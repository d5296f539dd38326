//! The answer for those who prefer to wait: what came of it, instead of that it
//! will be carried out.

use std::collections::HashMap;

use actix_web::{HttpRequest, HttpResponse};
use bakehouse_pipeline::{Event, EventStatus, Json, Operation};
use serde_json::value::RawValue;

use super::submission::submit;
use super::{Submission, accept};
use crate::access::Principal;
use crate::operation::at_rest;
use crate::prefer::Wait;
use crate::problem::Problem;
use crate::reading::json;
use crate::server::Doors;

/// Makes the operation durable. With `Prefer: wait` the answer is 200 with the
/// document as the operation left it, or 409 with the reason why it was refused
/// (412 for another version than the one expected); without, or when time is up, or
/// it was set aside, it is that of [`accept`].
///
/// Whatever goes wrong while waiting, the operation is accepted, and the answer
/// says so.
///
/// # Errors
/// Those of [`accept`]; 409 or 412 when the domain refused it.
pub async fn accept_and_wait(
    request: &HttpRequest,
    principal: &Principal,
    doors: &Doors,
    submission: Submission,
) -> Result<HttpResponse, Problem> {
    let Some(wait) = Wait::of_write(request, principal, doors) else {
        return accept(doors, submission).await;
    };
    let (mut accepted, operation) = submit(doors, submission).await?;
    let operation_id = operation.operation_id;
    let (name, value) = wait.applied();
    if let Ok(value) = value.parse() {
        accepted.headers_mut().insert(name, value);
    }
    let known = doors.log.summary(operation_id).await.unwrap_or_default();
    let Ok(Some(event)) = at_rest(doors, operation_id, known, &wait).await else {
        return Ok(accepted);
    };
    if !Operation::is_same(&event.operation.fingerprint, &operation.fingerprint) {
        // Another came first under the same key, while this one was on its way.
        return Err(Problem::key_reused());
    }
    match event.status {
        EventStatus::Rejected => Err(refused(&accepted, &event)),
        // What an operator's remedy led to is more than this operation's doing.
        EventStatus::Executed if event.settled_by.is_some() => Ok(accepted),
        EventStatus::Executed => match document(doors, &event).await {
            Some(document) => Ok(with_document(accepted, &document)),
            None => Ok(accepted),
        },
        EventStatus::Stored | EventStatus::Parked => Ok(accepted),
    }
}

/// The document as the event left it, which its frame has; `None`: it is not baked
/// yet, or that cannot be found out.
async fn document(doors: &Doors, event: &Event) -> Option<Json> {
    let before = event.position - 1;
    let frames = doors.presentation.frames(before, 1).await.ok()?;
    let frame = frames
        .into_iter()
        .find(|frame| frame.position == event.position)?;
    let members: HashMap<&str, &RawValue> = serde_json::from_str(frame.body.get()).ok()?;
    let document = members.get(doors.menu.entity)?;
    Some(Json::from((*document).to_owned()))
}

/// The refusal, with what tells of the operation.
fn refused(accepted: &HttpResponse, event: &Event) -> Problem {
    let headers = accepted.headers().iter();
    let headers = headers.filter_map(|(name, value)| Some((name, value.to_str().ok()?)));
    headers.fold(
        Problem::refused(&event.rejection()),
        |problem, (name, value)| problem.with_header(name.clone(), value),
    )
}

fn with_document(accepted: HttpResponse, document: &Json) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    for header in accepted.headers() {
        answer.append_header(header);
    }
    json(&mut answer, document)
}
