//! `GET /order/{id}`: the presentation document, untransformed; or, with
//! `as_of`, the order as it was.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_http::Doors;
use bakehouse_http::access::Principal;
use bakehouse_http::path_id::PathId;
use bakehouse_http::problem::Problem;
use bakehouse_http::query::Parameters;
use bakehouse_http::reading;
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
    doors: web::Data<Doors>,
) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(request.query_string());
    let then = parameters.take("as_of", AsOf::parse);
    parameters.finish()?;
    if let Some(then) = then {
        let _turn = doors.limits.read(&request, &principal).await?;
        let document = as_of(&doors, &principal, &id, then).await?;
        return Ok(reading::json(&mut HttpResponse::Ok(), &document));
    }
    reading::show(&request, &principal, &doors, &id).await
}
