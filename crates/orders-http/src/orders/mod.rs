//! Operations on orders, one file each.

mod amend;
mod cursor;
mod delete;
#[cfg(test)]
mod fuzz;
mod history;
mod list;
mod notifications;
mod place;
mod show;
mod status;

use actix_web::web;
use bakehouse_http::response::problem::Problem;
use utoipa::OpenApi;

/// OpenAPI description of these operations.
#[derive(OpenApi)]
#[openapi(paths(
    place::place,
    list::list,
    show::show,
    amend::amend,
    delete::delete,
    status::set_status,
    history::history,
    notifications::notifications
))]
pub(crate) struct Documentation;

/// Registers the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let orders = web::resource("/order")
        .route(web::post().to(place::place))
        .route(web::get().to(list::list))
        .default_service(Problem::other_methods("GET, HEAD, POST"));
    let order = web::resource("/order/{id}")
        .route(web::get().to(show::show))
        .route(web::put().to(amend::amend))
        .route(web::delete().to(delete::delete))
        .default_service(Problem::other_methods("GET, HEAD, PUT, DELETE"));
    let status = web::resource("/order/{id}/status")
        .route(web::put().to(status::set_status))
        .default_service(Problem::other_methods("PUT"));
    let history = web::resource("/order/{id}/history")
        .route(web::get().to(history::history))
        .default_service(Problem::other_methods("GET, HEAD"));
    let notifications = web::resource("/order/{id}/notifications")
        .route(web::get().to(notifications::notifications))
        .default_service(Problem::other_methods("GET, HEAD"));
    config
        .service(orders)
        .service(order)
        .service(status)
        .service(history)
        .service(notifications);
}
