//! `DELETE /order/{id}`: cancels the order and takes it off the lists.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_orders::Command;

use super::change::Change;
use crate::access::Principal;
use crate::docs::parts::{
    Accepted, Changed, IdempotencyKey, IfMatch, KeyReused, NoSuchOrder, OrderId,
};
use crate::path_id::PathId;
use crate::problem::Problem;
use crate::server::Doors;

/// Cancel an order and take it off the lists
///
/// It can still be read by its id, and its history stays.
#[utoipa::path(
    delete,
    path = "/order/{id}",
    tag = "orders",
    params(OrderId, IdempotencyKey, IfMatch),
    responses(Accepted, NoSuchOrder, Changed, KeyReused)
)]
pub(super) async fn delete(
    request: HttpRequest,
    id: web::Path<PathId>,
    principal: Principal,
    doors: web::Data<Doors>,
) -> Result<HttpResponse, Problem> {
    let change = Change {
        request: &request,
        principal: &principal,
        order_id: &id,
    };
    change
        .accept(&doors, async |_, _| Ok(Command::Delete))
        .await
}
