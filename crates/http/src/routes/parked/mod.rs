//! Parked operations, for operators: list, retry and discard.

mod list;
mod resolve;

use actix_web::web;
pub use resolve::MAX_REASON_LENGTH;
use utoipa::OpenApi;

use crate::response::problem::Problem;

/// OpenAPI documentation of these routes.
#[derive(OpenApi)]
#[openapi(paths(list::list, resolve::retry, resolve::discard))]
pub struct Documentation;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let list = web::resource("/parked")
        .route(web::get().to(list::list))
        .default_service(Problem::other_methods("GET, HEAD"));
    let retry = web::resource("/parked/{operation_id}/retry")
        .route(web::post().to(resolve::retry))
        .default_service(Problem::other_methods("POST"));
    let discard = web::resource("/parked/{operation_id}/discard")
        .route(web::post().to(resolve::discard))
        .default_service(Problem::other_methods("POST"));
    config.service(list).service(retry).service(discard);
}
