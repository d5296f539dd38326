//! `POST /order`: 202 once the order is durable.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_orders::intake;

use super::accept::{Submission, accept};
use super::key::Identity;
use crate::access::Principal;
use crate::body::read_json;
use crate::docs::parts::{Accepted, IdempotencyKey, KeyReused};
use crate::problem::Problem;
use crate::server::{Doors, Settings};

/// Place an order
///
/// 202 once the order is durable. It is carried out within moments; its receipt
/// tells when.
#[utoipa::path(
    post,
    path = "/order",
    tag = "orders",
    params(IdempotencyKey),
    request_body = ref("#/components/schemas/OrderBody"),
    responses(Accepted, KeyReused)
)]
pub(super) async fn place(
    request: HttpRequest,
    payload: web::Payload,
    principal: Principal,
    doors: web::Data<Doors>,
    settings: web::Data<Settings>,
) -> Result<HttpResponse, Problem> {
    let identity = Identity::of(&request, &principal)?;
    let body = read_json(&request, payload, &settings).await?;
    let order_id = identity.new_id.to_string();
    let submission = Submission::of_command(
        identity,
        &order_id,
        format!("/order/{order_id}"),
        &intake::place(&body, &settings.defaults)?,
        principal.terms_of_creation(),
    )?;
    accept(&doors, submission).await
}
