//! `PUT /order/{id}`: replaces products, customer and reference, as long as the
//! order is placed.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_orders::intake::{self, Defaults};
use bakehouse_orders::money::Currency;
use bakehouse_pipeline::ports::StoredDocument;
use serde::Deserialize;

use super::body::read_json;
use super::change::Change;
use crate::access::Principal;
use crate::docs::parts::{
    Accepted, Changed, IdempotencyKey, IfMatch, KeyReused, NoSuchOrder, OrderId,
};
use crate::path_id::PathId;
use crate::problem::Problem;
use crate::server::{Doors, Settings};

/// Replace an order's products, customer and reference
///
/// Accepted as long as the order exists; carried out if it is still placed, and
/// rejected with a reason otherwise.
#[utoipa::path(
    put,
    path = "/order/{id}",
    tag = "orders",
    params(OrderId, IdempotencyKey, IfMatch),
    request_body = ref("#/components/schemas/OrderBody"),
    responses(Accepted, NoSuchOrder, Changed, KeyReused)
)]
pub(super) async fn amend(
    request: HttpRequest,
    payload: web::Payload,
    id: web::Path<PathId>,
    principal: Principal,
    doors: web::Data<Doors>,
    settings: web::Data<Settings>,
) -> Result<HttpResponse, Problem> {
    let body = read_json(&request, payload, &settings).await?;
    let change = Change {
        request: &request,
        principal: &principal,
        order_id: &id,
    };
    let command = |document: Option<&StoredDocument>| {
        let currency = document.and_then(currency);
        let defaults = currency.map_or(settings.defaults, |currency| Defaults { currency });
        Ok(intake::amend(&body, &defaults)?)
    };
    change.accept(&doors, command).await
}

/// An order keeps its currency: it is what prices are in that name none.
fn currency(document: &StoredDocument) -> Option<Currency> {
    #[derive(Deserialize)]
    struct Part {
        currency: Currency,
    }
    let part: Part = serde_json::from_str(document.body.get()).ok()?;
    Some(part.currency)
}
