//! `DELETE /order/{id}`: cancels the order and takes it off the lists.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_orders::Command;

use super::change::Change;
use crate::access::Principal;
use crate::problem::Problem;
use crate::server::Doors;

pub(super) async fn delete(
    request: HttpRequest,
    id: web::Path<String>,
    principal: Principal,
    doors: web::Data<Doors>,
) -> Result<HttpResponse, Problem> {
    let change = Change {
        request: &request,
        principal: &principal,
        order_id: &id,
    };
    change.accept(&doors, |_| Ok(Command::Delete)).await
}
