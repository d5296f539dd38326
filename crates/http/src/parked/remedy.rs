//! `POST /parked/{operation-id}/retry` and `…/discard`: accepted like any other
//! operation, and carried out at its own place in the log.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_pipeline::{Event, EventStatus, Remedy, Verb};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::operators_only;
use crate::access::Principal;
use crate::body::read_json;
use crate::docs::parts::{Accepted, IdempotencyKey, KeyReused};
use crate::orders::accept::{Submission, accept};
use crate::orders::key::Identity;
use crate::problem::{InputFault, Problem};
use crate::server::{Doors, Settings};

const LONGEST_REASON: usize = 500;

/// Why it is given up.
#[derive(ToSchema)]
#[schema(as = DiscardBody)]
#[expect(dead_code, reason = "described, never made")]
struct DiscardBody {
    /// Its sender gets to see it.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Try again what has been set aside
///
/// Executes everything that is parked of the order, in order, until one gets
/// stuck again. Takes the scope `orders:admin`.
#[utoipa::path(
    post,
    path = "/parked/{operation_id}/retry",
    tag = "operators",
    params(("operation_id" = String, Path, format = "uuid",
        description = "The first that is parked of its order"), IdempotencyKey),
    responses(
        Accepted,
        (status = 404, description = "Nothing is parked by that id", body = crate::docs::parts::Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "Another of the same order is before it",
            body = crate::docs::parts::Problem, content_type = "application/problem+json"),
        KeyReused
    )
)]
pub(super) async fn retry(
    request: HttpRequest,
    id: web::Path<Uuid>,
    principal: Principal,
    doors: web::Data<Doors>,
) -> Result<HttpResponse, Problem> {
    submit(&request, *id, &principal, &doors, Verb::Retry, None).await
}

/// Give up what has been set aside
///
/// The operation is refused with the reason; what is parked behind it is
/// executed. Takes the scope `orders:admin`.
#[utoipa::path(
    post,
    path = "/parked/{operation_id}/discard",
    tag = "operators",
    params(("operation_id" = String, Path, format = "uuid",
        description = "The first that is parked of its order"), IdempotencyKey),
    request_body = DiscardBody,
    responses(
        Accepted,
        (status = 404, description = "Nothing is parked by that id", body = crate::docs::parts::Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "Another of the same order is before it",
            body = crate::docs::parts::Problem, content_type = "application/problem+json"),
        KeyReused
    )
)]
pub(super) async fn discard(
    request: HttpRequest,
    payload: web::Payload,
    id: web::Path<Uuid>,
    principal: Principal,
    doors: web::Data<Doors>,
    settings: web::Data<Settings>,
) -> Result<HttpResponse, Problem> {
    let body = read_json(&request, payload, &settings).await?;
    let reason = reason(&body)?;
    submit(
        &request,
        *id,
        &principal,
        &doors,
        Verb::Discard,
        Some(reason),
    )
    .await
}

async fn submit(
    request: &HttpRequest,
    parked: Uuid,
    principal: &Principal,
    doors: &Doors,
    verb: Verb,
    reason: Option<String>,
) -> Result<HttpResponse, Problem> {
    operators_only(principal)?;
    let identity = Identity::of(request, principal)?;
    let event = doors.log.find(parked).await?.ok_or_else(nothing)?;
    // Under a key that is known the first answer counts, whatever it led to.
    if !identity.is_known(doors.log.as_ref()).await {
        must_be_first(doors, &event).await?;
    }
    let remedy = Remedy {
        operation_id: parked,
        reason,
    };
    let submission = Submission::of_remedy(
        identity,
        event.entity_id(),
        verb,
        &remedy,
        principal.terms_of_change(None),
    )?;
    accept(doors, submission).await
}

fn nothing() -> Problem {
    Problem::not_found("nothing is parked by this operation's id")
}

async fn must_be_first(doors: &Doors, event: &Event) -> Result<(), Problem> {
    if event.status != EventStatus::Parked {
        return Err(nothing());
    }
    let held = doors.log.held(&[event.entity_id()]).await?;
    let mut parked = held.iter().filter(|one| one.status == EventStatus::Parked);
    match parked.next() {
        Some(first) if first.position < event.position => Err(Problem::not_first(
            &first.operation.operation_id.to_string(),
        )),
        _ => Ok(()),
    }
}

fn reason(body: &[u8]) -> Result<String, Problem> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| Problem::syntax(error.to_string()))?;
    let fault = |pointer: &str, detail: &str| InputFault {
        pointer: pointer.to_owned(),
        detail: detail.to_owned(),
    };
    let Some(members) = body.as_object() else {
        return Err(Problem::invalid(vec![fault("", "expected an object")]));
    };
    let others = members.keys().filter(|name| *name != "reason");
    let mut faults: Vec<_> = others
        .map(|name| {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            fault(&format!("/{escaped}"), "there is no such member")
        })
        .collect();
    let reason = members.get("reason").and_then(Value::as_str);
    match reason.map(str::trim) {
        Some(reason) if !reason.is_empty() && reason.chars().count() <= LONGEST_REASON => {
            if faults.is_empty() {
                return Ok(reason.to_owned());
            }
        }
        _ => faults.push(fault("/reason", "expected text of 1 to 500 characters")),
    }
    Err(Problem::invalid(faults))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_text_and_all_there_is() {
        assert_eq!(
            reason(br#"{"reason":" typo "}"#).ok().as_deref(),
            Some("typo")
        );
        for body in [
            &br#"{}"#[..],
            br#"{"reason":""}"#,
            br#"{"reason":7}"#,
            br#"{"reason":"x","more":1}"#,
            br#"[]"#,
            br#"{"#,
        ] {
            assert!(reason(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
        let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(501));
        assert!(reason(long.as_bytes()).is_err());
    }
}
