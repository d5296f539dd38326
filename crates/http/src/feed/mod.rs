//! `/order-events`: the feed over a websocket.

mod query;
mod socket;
mod wire;

use actix_web::web;

use crate::problem::Problem;

/// Adds the route.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let feed = web::resource("/order-events")
        .route(web::get().to(socket::subscribe))
        .default_service(Problem::other_methods("GET"));
    config.service(feed);
}
