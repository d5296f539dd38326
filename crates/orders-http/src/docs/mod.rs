//! What the API says of itself: OpenAPI at `/openapi.json`, AsyncAPI at
//! `/asyncapi.json`, and a page to read and try the first at `/docs/`.

mod asyncapi;
mod bodies;
mod frames;
mod openapi;
pub(crate) mod parts;

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
pub(crate) use openapi::Variant;
use serde_json::Value;
use utoipa_swagger_ui::SwaggerUi;

use bakehouse_http::problem::Problem;

/// Both documents, made once for all threads that answer.
pub(crate) struct Documents {
    openapi: Value,
    asyncapi: Bytes,
}

impl Documents {
    pub(crate) fn new(variant: &Variant) -> Self {
        Self {
            openapi: openapi::document(variant),
            asyncapi: asyncapi::document().to_string().into(),
        }
    }
}

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig, documents: &Documents) {
    let openapi = documents.openapi.clone();
    let page = SwaggerUi::new("/docs/{_:.*}").external_url_unchecked("/openapi.json", openapi);
    let asyncapi = documents.asyncapi.clone();
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

async fn answer(document: Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(document)
}
