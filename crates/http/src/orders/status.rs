//! `PUT /order/{id}/status`: moves the order along, or calls it off.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_orders::intake;

use super::body::read_json;
use super::change::Change;
use crate::access::Principal;
use crate::problem::Problem;
use crate::server::{Doors, Settings};

pub(super) async fn set_status(
    request: HttpRequest,
    payload: web::Payload,
    id: web::Path<String>,
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
    change.accept(&doors, |_| Ok(command)).await
}
