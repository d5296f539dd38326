//! `PUT /order/{id}`: replaces products, customer and reference while the order's status is
//! `placed`.

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

use crate::docs::parts::{
    Accepted, CarriedOut, Changed, IfMatch, IfNoneMatchWrite, KeyReused, NoSuchOrder, OrderId,
    OtherCurrency, Prefer, SubmissionHeaders,
};
use crate::settings::OrderSettings;

/// Replace an order's products, customer and reference
///
/// The request is accepted if the order exists. The operation is executed if the order's status is
/// still `placed`, and rejected with a reason otherwise.
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
        let order_currency = document.and_then(|document| currency(document.body.get()));
        let command = parse_amendment(&body, order_currency.unwrap_or(rules.defaults.currency))?;
        if order_currency.is_none() && currency(&String::from_utf8_lossy(&body)).is_none() {
            return Err(Problem::unavailable(
                "the order's currency is not known yet; add the currency to the body or retry later",
            ));
        }
        Ok(command)
    };
    let identity = Identity::of(&request, &principal)?.by_request(&request, &body);
    change.accept_as::<Orders>(&state, identity, command).await
}

/// Parses the body with prices in this currency.
///
/// # Errors
/// 400 for an invalid body; 409 if the body would be valid in a currency with more decimal places,
/// since the fault then depends on the order.
fn parse_amendment(body: &[u8], currency: Currency) -> Result<Command, Problem> {
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

/// Returns the currency of an order's document or of a body. An order keeps its currency, so it
/// applies to amendments that name none.
fn currency(json: &str) -> Option<Currency> {
    #[derive(Deserialize)]
    struct Part {
        currency: Currency,
    }
    let part: Part = serde_json::from_str(json).ok()?;
    Some(part.currency)
}
