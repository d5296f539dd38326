//! `PUT /order/{id}/status`: moves the order along, or calls it off.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_orders::intake;

use super::change::Change;
use crate::access::Principal;
use crate::body::read_json;
use crate::docs::parts::{
    Accepted, Changed, IdempotencyKey, IfMatch, KeyReused, NoSuchOrder, OrderId,
};
use crate::path_id::PathId;
use crate::problem::Problem;
use crate::server::{Doors, Settings};

/// Move an order along
///
/// `placed → paid → shipped → delivered`, or `cancelled` before it is shipped.
/// Anything else is rejected with a reason when it is carried out.
#[utoipa::path(
    put,
    path = "/order/{id}/status",
    tag = "orders",
    params(OrderId, IdempotencyKey, IfMatch),
    request_body = ref("#/components/schemas/StatusBody"),
    responses(Accepted, NoSuchOrder, Changed, KeyReused)
)]
pub(super) async fn set_status(
    request: HttpRequest,
    payload: web::Payload,
    id: web::Path<PathId>,
    principal: Principal,
    doors: web::Data<Doors>,
    settings: web::Data<Settings>,
) -> Result<HttpResponse, Problem> {
    let body = read_json(&request, payload, &settings).await?;
    let command = intake::set_status(&body)?;
    let change = Change {
        request: &request,
        principal: &principal,
        order_id: &id,
    };
    change.accept(&doors, async |_, _| Ok(command)).await
}
