//! `GET /order/{id}`: the presentation document, untransformed; or, with
//! `as_of`, the order as it was.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_http::AppState;
use bakehouse_http::auth::Principal;
use bakehouse_http::reads;
use bakehouse_http::request::path_id::PathId;
use bakehouse_http::request::query::Parameters;
use bakehouse_http::response::problem::Problem;
use bakehouse_orders::Document;

use super::history::{AsOf, as_of};
use crate::docs::parts::{AsOfParameter, IfNoneMatch, NoSuchOrder, NotModified, OrderId, Prefer};

/// Read an order
///
/// With `as_of`, as it was then. With `Prefer: wait`, as soon as it is there;
/// with `If-None-Match` as well, as soon as it is newer than that.
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
            headers(("ETag" = Option<String>, description = "Its version, in quotes"))),
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
    let then = parameters.take("as_of", AsOf::parse);
    parameters.finish()?;
    if let Some(then) = then {
        let _turn = state.limits.read(&request, &principal).await?;
        let document = as_of(&state, &principal, &id, then).await?;
        return Ok(reads::json(&mut HttpResponse::Ok(), &document));
    }
    reads::show(&request, &principal, &state, &id).await
}
