//! What has been set aside, for operators: see it, try it again, give it up.

mod list;
mod remedy;

use actix_web::web;
pub use remedy::LONGEST_REASON;
use utoipa::OpenApi;

use crate::problem::Problem;

/// The documentation of these calls.
#[derive(OpenApi)]
#[openapi(paths(list::list, remedy::retry, remedy::discard))]
pub struct Documentation;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let list = web::resource("/parked")
        .route(web::get().to(list::list))
        .default_service(Problem::other_methods("GET, HEAD"));
    let retry = web::resource("/parked/{operation_id}/retry")
        .route(web::post().to(remedy::retry))
        .default_service(Problem::other_methods("POST"));
    let discard = web::resource("/parked/{operation_id}/discard")
        .route(web::post().to(remedy::discard))
        .default_service(Problem::other_methods("POST"));
    config.service(list).service(retry).service(discard);
}
