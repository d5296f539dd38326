//! `GET /correlation/{id}`: everything that one outside request set off.

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::ports::{Selection, Senders};
use utoipa::OpenApi;

use crate::accept::correlation_id;
use crate::auth::Principal;
use crate::request::query::Page;
use crate::response::openapi_components::PageParameters;
use crate::response::problem::Problem;
use crate::routes::receipt::Receipt;
use crate::state::AppState;

/// The documentation of this call.
#[derive(OpenApi)]
#[openapi(paths(list))]
pub struct Documentation;

/// Adds the route.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let list = web::resource("/correlation/{id}")
        .route(web::get().to(list))
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
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let page = Page::of(request.query_string())?;
    let id = correlation_id(&id);
    let _turn = state.limits.read(&request, &principal).await?;
    // Others' are not even read, so that nothing tells of them, not even the time it takes.
    let senders = principal.confined_to().map_or(Senders::Any, Senders::Owner);
    let query = page.of_log(Selection::Correlation(id), senders);
    let mut events = state.log.summaries(&query).await?;
    let mut answer = HttpResponse::Ok();
    if let Some(next) = page.cut(&mut events, &format!("/correlation/{id}")) {
        answer.insert_header(next);
    }
    // After the look at the log: what is in it is not said to be further than it is.
    let baked = state.feed.head_position();
    let receipts: Vec<_> = events
        .into_iter()
        .map(|event| Receipt::of(event, baked, &state.api))
        .collect();
    Ok(answer.json(receipts))
}
