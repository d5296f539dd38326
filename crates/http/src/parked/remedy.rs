//! `POST /parked/{operation-id}/retry` and `…/discard`: accepted like any other
//! operation, and carried out at its own place in the log.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_orders::intake;
use bakehouse_pipeline::{Event, EventStatus, Remedy, Verb};
use uuid::Uuid;

use super::operators_only;
use crate::access::Principal;
use crate::body::read_json;
use crate::docs::parts::{Accepted, IdempotencyKey, KeyReused, NotFirst, NothingParked};
use crate::orders::accept::{Submission, accept};
use crate::orders::key::Identity;
use crate::problem::Problem;
use crate::server::{Doors, Settings};

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
    responses(Accepted, NothingParked, NotFirst, KeyReused)
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
    request_body = ref("#/components/schemas/DiscardBody"),
    responses(Accepted, NothingParked, NotFirst, KeyReused)
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
    let reason = intake::reason(&body)?;
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
