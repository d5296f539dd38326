//! `POST /parked/{operation-id}/retry` and `…/discard`: resolutions of parked operations. They are
//! accepted like any other operation and executed at their own position in the log.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::ports::{Selection, SummaryQuery};
use bakehouse_engine::{EntryStatus, LogEntry, Resolution, Verb};
use bakehouse_validation::{Faults, read, text};
use uuid::Uuid;

use crate::accept::{Identity, Submission, accept};
use crate::auth::{Principal, require_operator};
use crate::request::body::read_json;
use crate::request::conditional::{Conditions, Current};
use crate::response::openapi_components::{
    Accepted, Changed, KeyReused, NotFirst, NothingParked, SubmissionHeaders,
};
use crate::response::problem::Problem;
use crate::state::{AppState, RequestSettings};

/// Maximum length of a discard's reason, in characters.
pub const MAX_REASON_LENGTH: usize = 500;

/// Retry an entity's parked operations
///
/// Executes all parked operations of the entity, in order, until one has to be parked again.
/// Requires the scope that ends with `:admin`.
#[utoipa::path(
    post,
    path = "/parked/{operation_id}/retry",
    tag = "operators",
    params(("operation_id" = String, Path, format = "uuid",
        description = "Id of the entity's first parked operation"), SubmissionHeaders),
    responses(Accepted, NothingParked, NotFirst, Changed, KeyReused)
)]
pub(super) async fn retry(
    request: HttpRequest,
    id: web::Path<Uuid>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    submit(&request, *id, &principal, &state, Verb::Retry, None).await
}

/// Discard a parked operation
///
/// The operation is rejected with the reason, and the entity's other parked operations are
/// executed. Requires the scope that ends with `:admin`.
#[utoipa::path(
    post,
    path = "/parked/{operation_id}/discard",
    tag = "operators",
    params(("operation_id" = String, Path, format = "uuid",
        description = "Id of the entity's first parked operation"), SubmissionHeaders),
    request_body = ref("#/components/schemas/DiscardBody"),
    responses(Accepted, NothingParked, NotFirst, Changed, KeyReused)
)]
pub(super) async fn discard(
    request: HttpRequest,
    payload: web::Payload,
    id: web::Path<Uuid>,
    principal: Principal,
    state: web::Data<AppState>,
    settings: web::Data<RequestSettings>,
) -> Result<HttpResponse, Problem> {
    let body = read_json(&request, payload, &settings).await?;
    let reason = reason(&body)?;
    submit(
        &request,
        *id,
        &principal,
        &state,
        Verb::Discard,
        Some(reason),
    )
    .await
}

async fn submit(
    request: &HttpRequest,
    parked: Uuid,
    principal: &Principal,
    state: &AppState,
    verb: Verb,
    reason: Option<String>,
) -> Result<HttpResponse, Problem> {
    require_operator(principal, state)?;
    let conditions = Conditions::of(request)?;
    let identity = Identity::of(request, principal)?;
    let entry = state.log.summary(parked).await?.ok_or_else(not_parked)?;
    // A repeated request is not checked again: it gets the response of the first one.
    if !identity.is_known(state.log.as_ref()).await {
        must_be_first(state, &entry).await?;
        conditions.resolve(Current::Untagged)?;
    }
    let resolution = Resolution {
        operation_id: parked,
        reason,
    };
    let submission = Submission::of_resolution(
        identity,
        entry.entity_id(),
        &state.api,
        (verb, &resolution),
        principal.terms_of_change(None),
    )?;
    accept(state, submission).await
}

fn not_parked() -> Problem {
    Problem::not_found("there is no parked operation with this id")
}

/// Checks that an operation is the first parked one of its entity.
///
/// # Errors
/// 404 when it is not parked, 409 when another one precedes it.
async fn must_be_first(state: &AppState, entry: &LogEntry) -> Result<(), Problem> {
    if entry.status != EntryStatus::Parked {
        return Err(not_parked());
    }
    let parked = SummaryQuery::first(Selection::Parked(Some(entry.entity_id())), 1);
    match state.log.summaries(&parked).await?.first() {
        Some(first) if first.position < entry.position => Err(Problem::not_first(
            &first.operation.operation_id.to_string(),
        )),
        _ => Ok(()),
    }
}

/// Parses a body such as `{"reason":"typed by mistake"}`.
fn reason(body: &[u8]) -> Result<String, Faults> {
    read(body, &["reason"], |members, faults| {
        let reason = members.require("reason", faults)?;
        let reason = text(&reason, MAX_REASON_LENGTH, faults)?;
        Some(reason.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_the_only_member_and_text() {
        assert_eq!(reason(br#"{"reason":" typo "}"#), Ok("typo".to_owned()));
        for body in [
            r#"{}"#,
            r#"{"reason":""}"#,
            r#"{"reason":7}"#,
            r#"{"reason":"a\u0000b"}"#,
            r#"{"reason":"x","more":1}"#,
            r#"{"reason":"x","reason":"y"}"#,
            "[]",
            "{",
        ] {
            assert!(reason(body.as_bytes()).is_err(), "{body}");
        }
        let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(MAX_REASON_LENGTH + 1));
        assert!(reason(long.as_bytes()).is_err());
    }
}
