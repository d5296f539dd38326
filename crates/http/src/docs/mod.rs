//! What the API says of itself: OpenAPI at `/openapi.json`, AsyncAPI at
//! `/asyncapi.json`, and a page to read and try the first at `/docs/`.

mod asyncapi;
mod bodies;
mod openapi;
pub(crate) mod parts;

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
pub(crate) use openapi::Variant;
use serde_json::Value;
use utoipa_swagger_ui::SwaggerUi;

use crate::problem::Problem;

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig, variant: &Variant) {
    let openapi = openapi::document(variant);
    let page = SwaggerUi::new("/docs/{_:.*}").external_url_unchecked("/openapi.json", openapi);
    let asyncapi = asyncapi::document();
    let asyncapi = web::resource("/asyncapi.json")
        .route(web::get().to(move || answer(asyncapi.clone())))
        .default_service(Problem::other_methods("GET"));
    let door = web::resource("/docs")
        .route(web::get().to(async || {
            HttpResponse::MovedPermanently()
                .insert_header((LOCATION, "/docs/"))
                .finish()
        }))
        .default_service(Problem::other_methods("GET"));
    config.service(asyncapi).service(door).service(page);
}

async fn answer(document: Value) -> HttpResponse {
    HttpResponse::Ok().json(document)
}
