//! What has been set aside, for operators: see it, try it again, give it up.

mod list;
mod remedy;

use actix_web::web;
pub use remedy::LONGEST_REASON;
use utoipa::OpenApi;

use crate::access::{Principal, Scope};
use crate::problem::Problem;
use crate::server::Doors;

/// The documentation of these calls.
#[derive(OpenApi)]
#[openapi(paths(list::list, remedy::retry, remedy::discard))]
pub struct Documentation;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let list = web::resource("/parked")
        .route(web::get().to(list::list))
        .route(web::head().to(list::list))
        .default_service(Problem::other_methods("GET, HEAD"));
    let retry = web::resource("/parked/{operation_id}/retry")
        .route(web::post().to(remedy::retry))
        .default_service(Problem::other_methods("POST"));
    let discard = web::resource("/parked/{operation_id}/discard")
        .route(web::post().to(remedy::discard))
        .default_service(Problem::other_methods("POST"));
    config.service(list).service(retry).service(discard);
}

/// What is parked may be anybody's, and is nobody's to settle but an operator's.
fn operators_only(principal: &Principal, doors: &Doors) -> Result<(), Problem> {
    if principal.confined_to().is_none() {
        return Ok(());
    }
    let scope = doors.menu.scope(Scope::Admin);
    Err(Problem::insufficient_scope(&scope))
}
