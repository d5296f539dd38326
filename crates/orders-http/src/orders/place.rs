//! `POST /order`: answers 202 once the order is durable, or 201 once it is executed.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_http::accept::{Identity, Submission, accept_and_wait, repeat_and_wait};
use bakehouse_http::auth::Principal;
use bakehouse_http::request::body::read_json;
use bakehouse_http::response::problem::Problem;
use bakehouse_http::{AppState, RequestSettings};
use bakehouse_orders::{Orders, parse};

use crate::docs::parts::{
    Accepted, Changed, KeyReused, Placed, Prefer, Refused, SubmissionHeaders,
};
use crate::settings::OrderSettings;

/// Place an order
///
/// The answer is 202 once the order is durable. It is executed shortly afterwards; its receipt
/// reports the result. With `Prefer: wait`, the answer is 201 with the order once it is executed.
#[utoipa::path(
    post,
    path = "/order",
    tag = "orders",
    params(SubmissionHeaders, Prefer),
    request_body = ref("#/components/schemas/OrderBody"),
    responses(Accepted, Placed, Refused, Changed, KeyReused)
)]
pub(super) async fn place(
    request: HttpRequest,
    payload: web::Payload,
    principal: Principal,
    state: web::Data<AppState>,
    settings: web::Data<RequestSettings>,
    rules: web::Data<OrderSettings>,
) -> Result<HttpResponse, Problem> {
    let body = read_json(&request, payload, &settings).await?;
    let mut identity = Identity::of(&request, &principal)?.by_request(&request, &body);
    let success = StatusCode::CREATED;
    let repeat = repeat_and_wait(&request, &principal, &state, &mut identity, success);
    if let Some(answer) = repeat.await? {
        return Ok(answer);
    }
    let command = parse::place(&body, &rules.defaults)?;
    let submission =
        Submission::of_new_as::<Orders>(&request, identity, &principal, &state, &command)?;
    accept_and_wait(&request, &principal, &state, submission).await
}
