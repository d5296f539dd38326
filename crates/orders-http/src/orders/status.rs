//! `PUT /order/{id}/status`: changes the status of the order.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_http::accept::Change;
use bakehouse_http::auth::Principal;
use bakehouse_http::request::body::read_json;
use bakehouse_http::request::path_id::PathId;
use bakehouse_http::response::problem::Problem;
use bakehouse_http::{AppState, RequestSettings};
use bakehouse_orders::{Orders, parse};

use crate::docs::parts::{
    Accepted, CarriedOut, Changed, IfMatch, IfNoneMatchWrite, KeyReused, NoSuchOrder, OrderId,
    Prefer, Refused, SubmissionHeaders,
};

/// Change an order's status
///
/// Allowed are `placed → paid → shipped → delivered`, and `cancelled` before the order is shipped.
/// Any other change is rejected with a reason at execution.
#[utoipa::path(
    put,
    path = "/order/{id}/status",
    tag = "orders",
    params(OrderId, SubmissionHeaders, IfMatch, IfNoneMatchWrite, Prefer),
    request_body = ref("#/components/schemas/StatusBody"),
    responses(Accepted, CarriedOut, NoSuchOrder, Refused, Changed, KeyReused)
)]
pub(super) async fn set_status(
    request: HttpRequest,
    payload: web::Payload,
    id: web::Path<PathId>,
    principal: Principal,
    state: web::Data<AppState>,
    settings: web::Data<RequestSettings>,
) -> Result<HttpResponse, Problem> {
    let body = read_json(&request, payload, &settings).await?;
    let command = parse::set_status(&body)?;
    let change = Change {
        request: &request,
        principal: &principal,
        id: &id,
    };
    change
        .accept::<Orders>(&state, async |_, _| Ok(command))
        .await
}
