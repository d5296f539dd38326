//! `GET /order/{id}`: the presentation document, untransformed; or, with
//! `as_of`, the order as it was.

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bakehouse_orders::Document;
use bakehouse_pipeline::Json;
use bakehouse_pipeline::ports::StoredDocument;

use super::arrival;
use super::history::{AsOf, as_of};
use super::target::not_found;
use crate::access::Principal;
use crate::conditions::{etag, is_known, tag};
use crate::docs::parts::{AsOfParameter, IfNoneMatch, NoSuchOrder, NotModified, OrderId, Prefer};
use crate::path_id::PathId;
use crate::prefer::Wait;
use crate::problem::Problem;
use crate::query::Parameters;
use crate::server::Doors;

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
        let document = as_of(&doors, &principal, &id, then).await?;
        return Ok(json(&mut HttpResponse::Ok(), &document));
    }
    let wait = Wait::of(&request);
    let is_news = |document: &StoredDocument| !is_known(&request, &tag(document.version));
    let found = arrival::document(&doors, &principal, &id, wait.as_ref(), is_news).await?;
    let document = found.ok_or_else(not_found)?;
    let is_news = is_news(&document);
    let mut answer = if is_news {
        HttpResponse::Ok()
    } else {
        HttpResponse::NotModified()
    };
    answer.insert_header(etag(&tag(document.version)));
    if let Some(wait) = wait {
        answer.insert_header(wait.applied());
    }
    if is_news {
        return Ok(json(&mut answer, &document.body));
    }
    Ok(answer.finish())
}

fn json(answer: &mut HttpResponseBuilder, body: &Json) -> HttpResponse {
    answer
        .content_type("application/json")
        .body(body.get().to_owned())
}
