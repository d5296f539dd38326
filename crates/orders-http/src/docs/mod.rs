//! What the API says of itself: OpenAPI at `/openapi.json`, AsyncAPI at
//! `/asyncapi.json`, and a page to read and try the first at `/docs/`.

mod asyncapi;
mod bodies;
mod frames;
mod openapi;
pub(crate) mod parts;

use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, Resource, web};
use bytes::Bytes;
pub(crate) use openapi::Variant;
use utoipa_swagger_ui::{Config, SwaggerUi};

use bakehouse_http::problem::Problem;

const OPENAPI: &str = "/openapi.json";

/// Both documents, made once for all threads that answer.
pub(crate) struct Documents {
    openapi: Bytes,
    asyncapi: Bytes,
}

impl Documents {
    pub(crate) fn new(variant: &Variant) -> Self {
        Self {
            openapi: openapi::document(variant).to_string().into(),
            asyncapi: asyncapi::document().to_string().into(),
        }
    }
}

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig, documents: &Documents) {
    let page = SwaggerUi::new("/docs/{_:.*}").config(Config::from(OPENAPI));
    let door = web::resource("/docs")
        .route(web::get().to(async || {
            HttpResponse::MovedPermanently()
                .insert_header((LOCATION, "/docs/"))
                .finish()
        }))
        .default_service(Problem::other_methods("GET"));
    config
        .service(document(OPENAPI, &documents.openapi))
        .service(document("/asyncapi.json", &documents.asyncapi))
        .service(door)
        .service(page);
}

fn document(path: &str, content: &Bytes) -> Resource {
    let again = content.clone();
    let get = move || answer(again.clone());
    web::resource(path)
        .route(web::get().to(get.clone()))
        .route(web::head().to(get))
        .default_service(Problem::other_methods("GET, HEAD"))
}

async fn answer(document: Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(document)
}
