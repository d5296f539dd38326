//! `GET /correlation/{id}`: all operations that one external request caused.

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

/// OpenAPI documentation of this route.
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

/// List the operations that a request caused
///
/// All operations in the log with one correlation id: the client's own from
/// `X-Correlation-ID`, or the id of the first operation.
#[utoipa::path(
    get,
    path = "/correlation/{id}",
    operation_id = "list_correlated",
    tag = "operations",
    params(("id" = String, Path, description = "Correlation id"), PageParameters),
    responses(
        (status = 200, description = "Receipts in the order of the log", body = [Receipt],
            headers(("Link" = Option<String>, description = "Next page, if there is one"))),
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
    // Operations of other owners are not read, so that not even the response time reveals them.
    let senders = principal
        .restricted_to_owner()
        .map_or(Senders::Any, Senders::Owner);
    let query = page.of_log(Selection::Correlation(id), senders);
    let mut entries = state.log.summaries(&query).await?;
    let mut response = HttpResponse::Ok();
    if let Some(next) = page.cut(&mut entries, &format!("/correlation/{id}")) {
        response.insert_header(next);
    }
    // Read after the log, so that no operation is reported at a later stage than it is.
    let baked = state.feed.head_position();
    let receipts: Vec<_> = entries
        .into_iter()
        .map(|entry| Receipt::of(entry, baked, &state.api))
        .collect();
    Ok(response.json(receipts))
}
