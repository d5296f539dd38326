//! `PUT /order/{id}`: replaces products, customer and reference, as long as the
//! order is placed.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::ports::StoredDocument;
use bakehouse_http::accept::Change;
use bakehouse_http::accept::Identity;
use bakehouse_http::auth::Principal;
use bakehouse_http::request::body::read_json;
use bakehouse_http::request::path_id::PathId;
use bakehouse_http::response::problem::Problem;
use bakehouse_http::{AppState, RequestSettings};
use bakehouse_orders::money::Currency;
use bakehouse_orders::parse::{self, Defaults};
use bakehouse_orders::{Command, Orders};
use serde::Deserialize;

use crate::OrderSettings;
use crate::docs::parts::{
    Accepted, CarriedOut, Changed, IfMatch, IfNoneMatchWrite, KeyReused, NoSuchOrder, OrderId,
    OtherCurrency, Prefer, SubmissionHeaders,
};

/// Replace an order's products, customer and reference
///
/// Accepted as long as the order exists; carried out if it is still placed, and
/// rejected with a reason otherwise.
#[utoipa::path(
    put,
    path = "/order/{id}",
    tag = "orders",
    params(OrderId, SubmissionHeaders, IfMatch, IfNoneMatchWrite, Prefer),
    request_body = ref("#/components/schemas/AmendmentBody"),
    responses(Accepted, CarriedOut, NoSuchOrder, OtherCurrency, Changed, KeyReused)
)]
pub(super) async fn amend(
    request: HttpRequest,
    payload: web::Payload,
    id: web::Path<PathId>,
    principal: Principal,
    state: web::Data<AppState>,
    settings: web::Data<RequestSettings>,
    rules: web::Data<OrderSettings>,
) -> Result<HttpResponse, Problem> {
    let body = read_json(&request, payload, &settings).await?;
    let change = Change {
        request: &request,
        principal: &principal,
        id: &id,
    };
    let command = async |document: Option<&StoredDocument>, _: &Identity| {
        let known = document.and_then(|document| currency(document.body.get()));
        let command = read(&body, known.unwrap_or(rules.defaults.currency))?;
        if known.is_none() && currency(&String::from_utf8_lossy(&body)).is_none() {
            return Err(Problem::unavailable(
                "the order, whose currency its prices are in, cannot be read yet; name the \
                 currency, or send it again",
            ));
        }
        Ok(command)
    };
    let identity = Identity::of(&request, &principal)?.by_request(&request, &body);
    change.accept_as::<Orders>(&state, identity, command).await
}

/// Prices that would be right in another currency are no fault of the body, but
/// of body and order together.
fn read(body: &[u8], currency: Currency) -> Result<Command, Problem> {
    let faults = match parse::amend(body, &Defaults { currency }) {
        Ok(command) => return Ok(command),
        Err(faults) => faults,
    };
    let finest = Currency::all().max_by_key(|currency| currency.digits());
    let finest = finest.unwrap_or_default();
    if parse::amend(body, &Defaults { currency: finest }).is_ok() {
        return Err(Problem::from(faults).into_conflict());
    }
    Err(faults.into())
}

/// An order keeps its currency: it is what prices are in that name none. Of its document, or
/// of a body.
fn currency(of: &str) -> Option<Currency> {
    #[derive(Deserialize)]
    struct Part {
        currency: Currency,
    }
    let part: Part = serde_json::from_str(of).ok()?;
    Some(part.currency)
}
