//! `POST /order`: 202 once the order is durable.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_http::accept::{Identity, Submission, accept, repeated};
use bakehouse_http::access::Principal;
use bakehouse_http::body::read_json;
use bakehouse_http::problem::Problem;
use bakehouse_http::{Doors, Settings};
use bakehouse_orders::{Orders, intake};

use crate::OrderSettings;
use crate::docs::parts::{Accepted, Changed, KeyInUse, KeyReused, SubmissionHeaders};

/// Place an order
///
/// 202 once the order is durable. It is carried out within moments; its receipt
/// tells when.
#[utoipa::path(
    post,
    path = "/order",
    tag = "orders",
    params(SubmissionHeaders),
    request_body = ref("#/components/schemas/OrderBody"),
    responses(Accepted, KeyInUse, Changed, KeyReused)
)]
pub(super) async fn place(
    request: HttpRequest,
    payload: web::Payload,
    principal: Principal,
    doors: web::Data<Doors>,
    settings: web::Data<Settings>,
    rules: web::Data<OrderSettings>,
) -> Result<HttpResponse, Problem> {
    let body = read_json(&request, payload, &settings).await?;
    let mut identity = Identity::of(&request, &principal)?.by_request(&request, &body);
    if let Some(answer) = repeated(&mut identity, &doors).await? {
        return Ok(answer);
    }
    let command = intake::place(&body, &rules.defaults)?;
    let submission =
        Submission::of_new_as::<Orders>(&request, identity, &principal, &doors, &command)?;
    accept(&doors, submission).await
}
