//! HTTP API of the warehouse.
//!
//! - `GET /warehouse/products` returns `[{"sku","quantity"}]`;
//! - `POST /warehouse/products/{sku}/increase_quantity` `{"quantity":3}` answers 202;
//! - `POST /warehouse/products/{sku}/ship_quantity` `{"quantity":3}` answers 202; with
//!   `Prefer: wait=5` it answers with the product, or 409 with the reason of the rejection;
//! - `GET /warehouse/products/{sku}/notifications` returns the low-stock notifications;
//! - `/products-events` is the feed.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_host::engine::Json;
use bakehouse_host::engine::ports::ListQuery;
use bakehouse_host::prelude::*;
use serde_json::json;

use crate::domain::{Command, MAX_QUANTITY, Warehouse};

/// Returns the API definition: feed, locations and routes.
pub(crate) fn definition() -> ApiDefinition {
    let location = |sku: &str| format!("/warehouse/products/{sku}");
    ApiDefinition::of::<Warehouse>("/products-events", location, |config| {
        let all = web::resource("/warehouse/products").route(web::get().to(list));
        let one = web::resource("/warehouse/products/{sku}").route(web::get().to(show));
        let increase = web::resource("/warehouse/products/{sku}/increase_quantity")
            .route(web::post().to(increase));
        let ship =
            web::resource("/warehouse/products/{sku}/ship_quantity").route(web::post().to(ship));
        let notifications = web::resource("/warehouse/products/{sku}/notifications")
            .route(web::get().to(notifications));
        config
            .service(all.default_service(Problem::other_methods("GET")))
            .service(one.default_service(Problem::other_methods("GET")))
            .service(increase.default_service(Problem::other_methods("POST")))
            .service(ship.default_service(Problem::other_methods("POST")))
            .service(notifications.default_service(Problem::other_methods("GET")));
    })
}

async fn list(principal: Principal, state: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    let mut products: Vec<Json> = Vec::new();
    let mut query = ListQuery::newest(1_000);
    query.sort.descending = false;
    query.owner = principal.restricted_to_owner().map(str::to_owned);
    loop {
        let page = state.presentation.list(&query).await?;
        query.past = page.last().map(|product| query.sort.key(product));
        products.extend(page.iter().map(|product| product.body.clone()));
        if page.len() < query.limit {
            return Ok(HttpResponse::Ok().json(products));
        }
    }
}

async fn show(
    request: HttpRequest,
    sku: web::Path<String>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    reads::get(&request, &principal, &state, valid_sku(&sku)?).await
}

async fn notifications(
    sku: web::Path<String>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let product = reads::find(&state, &principal, valid_sku(&sku)?).await?;
    product.ok_or_else(|| reads::entity_not_found(&state))?;
    let sent = state.notifications.of(&sku).await?;
    let lines = sent.iter().map(|one| {
        json!({
            "position": one.position, "to": one.to, "message": one.message,
            "status": one.status, "requested_at": one.requested_at,
        })
    });
    Ok(HttpResponse::Ok().json(lines.collect::<Vec<_>>()))
}

async fn increase(
    request: HttpRequest,
    sku: web::Path<String>,
    body: JsonBody,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let command = Command::Increase(quantity(&body)?);
    change(&request, valid_sku(&sku)?, &command, &principal, &state).await
}

async fn ship(
    request: HttpRequest,
    sku: web::Path<String>,
    body: JsonBody,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let command = Command::Ship(quantity(&body)?);
    change(&request, valid_sku(&sku)?, &command, &principal, &state).await
}

async fn change(
    request: &HttpRequest,
    sku: &str,
    command: &Command,
    principal: &Principal,
    state: &AppState,
) -> Result<HttpResponse, Problem> {
    let submission = Submission::of_change::<Warehouse>(request, principal, state, sku, command)?;
    accept_and_wait(request, principal, state, submission).await
}

fn quantity(body: &[u8]) -> Result<u64, Faults> {
    read(body, &["quantity"], |members, faults| {
        let quantity = members.require("quantity", faults)?;
        let number = whole_number(&quantity, 1..=MAX_QUANTITY as i64, faults)?;
        u64::try_from(number).ok()
    })
}

/// Checks that a path segment is a valid SKU.
///
/// # Errors
/// 404 for a SKU that no product can have.
fn valid_sku(sku: &str) -> Result<&str, Problem> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if sku.len() <= 64 && sku.bytes().all(is_letter) {
        return Ok(sku);
    }
    let expected = "a SKU is 1 to 64 letters, digits, hyphens, underscores and dots";
    Err(Problem::not_found(format!(
        "there is no product {sku:?}: {expected}"
    )))
}
