//! `GET /correlation/{id}`: everything that one outside request set off.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_pipeline::{Event, Position};
use utoipa::OpenApi;
use uuid::Uuid;

use crate::accept::correlation_id;
use crate::access::Principal;
use crate::operation::Receipt;
use crate::parts::PageParameters;
use crate::problem::Problem;
use crate::query::Page;
use crate::server::Doors;

/// How many events are read at once.
const STEP: usize = 100;

/// The documentation of this call.
#[derive(OpenApi)]
#[openapi(paths(list))]
pub struct Documentation;

/// Adds the route.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let list = web::resource("/correlation/{id}")
        .route(web::get().to(list))
        .route(web::head().to(list))
        .default_service(Problem::other_methods("GET, HEAD"));
    config.service(list);
}

/// See what a request set off
///
/// Everything in the log under one correlation id: the client's own of
/// `X-Correlation-ID`, or the id of the first operation.
#[utoipa::path(
    get,
    path = "/correlation/{id}",
    operation_id = "list_correlated",
    tag = "operations",
    params(("id" = String, Path, description = "The correlation id"), PageParameters),
    responses(
        (status = 200, description = "In the order of the log", body = [Receipt],
            headers(("Link" = Option<String>, description = "The next page, if there is one"))),
    )
)]
async fn list(
    request: HttpRequest,
    id: web::Path<String>,
    principal: Principal,
    doors: web::Data<Doors>,
) -> Result<HttpResponse, Problem> {
    let page = Page::of(request.query_string())?;
    let id = correlation_id(&id);
    let mut events = visible(&doors, &principal, id, page.after, page.wanted()).await?;
    let mut answer = HttpResponse::Ok();
    if let Some(next) = page.cut(&mut events, &format!("/correlation/{id}")) {
        answer.insert_header(next);
    }
    // After the look at the log: what is in it is not said to be further than it is.
    let baked = doors.feed.head_position();
    let receipts: Vec<_> = events
        .into_iter()
        .map(|event| Receipt::of(event, baked, &doors.menu))
        .collect();
    Ok(answer.json(receipts))
}

/// The first of them that the principal may see. Others are passed over before there
/// is a page, so that not even their number shows.
async fn visible(
    doors: &Doors,
    principal: &Principal,
    id: Uuid,
    mut after: Position,
    count: usize,
) -> Result<Vec<Event>, Problem> {
    let mut found = Vec::new();
    loop {
        let events = doors.log.correlated(id, after, STEP).await?;
        let is_last = events.len() < STEP;
        after = events.last().map_or(after, |event| event.position);
        let mine = |event: &Event| principal.sees(event.operation.terms.owner.as_deref());
        found.extend(events.into_iter().filter(mine));
        if is_last || found.len() >= count {
            found.truncate(count);
            return Ok(found);
        }
    }
}
