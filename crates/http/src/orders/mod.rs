//! The calls on orders.

mod accept;
mod body;
mod list;
mod place;
mod show;

use actix_web::web;

use crate::problem::Problem;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let orders = web::resource("/order")
        .route(web::post().to(place::place))
        .route(web::get().to(list::list))
        .default_service(web::to(async || {
            Problem::method_not_allowed("GET, POST").answer()
        }));
    let order = web::resource("/order/{id}")
        .route(web::get().to(show::show))
        .default_service(web::to(async || {
            Problem::method_not_allowed("GET").answer()
        }));
    config.service(orders).service(order);
}
