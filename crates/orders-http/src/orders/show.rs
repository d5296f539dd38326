//! `GET /order/{id}`: the presentation document as stored or, with `as_of`, an earlier state of
//! the order.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_http::AppState;
use bakehouse_http::auth::Principal;
use bakehouse_http::reads;
use bakehouse_http::request::path_id::PathId;
use bakehouse_http::request::query::Parameters;
use bakehouse_http::response::problem::Problem;
use bakehouse_orders::Document;

use super::history::{AsOf, document_as_of};
use crate::docs::parts::{AsOfParameter, IfNoneMatch, NoSuchOrder, NotModified, OrderId, Prefer};

/// Read an order
///
/// With `as_of`, an earlier state of the order. With `Prefer: wait`, the request waits until the
/// order exists or, together with `If-None-Match`, until it has another version.
#[utoipa::path(
    get,
    path = "/order/{id}",
    tag = "orders",
    params(
        OrderId,
        AsOfParameter,
        IfNoneMatch,
        Prefer,
    ),
    responses(
        (status = 200, description = "The order", body = Document,
            headers(("ETag" = Option<String>, description = "Version of the order, in quotes"))),
        NotModified,
        NoSuchOrder,
    )
)]
pub(super) async fn show(
    request: HttpRequest,
    id: web::Path<PathId>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(request.query_string());
    let point = parameters.take("as_of", AsOf::parse);
    parameters.finish()?;
    if let Some(point) = point {
        let _permit = state.limits.read(&request, &principal).await?;
        let document = document_as_of(&state, &principal, &id, point).await?;
        return Ok(reads::json(&mut HttpResponse::Ok(), &document));
    }
    reads::get(&request, &principal, &state, &id).await
}
