//! Description of the API: OpenAPI at `/openapi.json`, AsyncAPI at `/asyncapi.json`, and Swagger UI
//! for the former at `/docs/`.

mod asyncapi;
mod bodies;
mod frames;
mod openapi;
pub(crate) mod parts;
mod variant;

use std::sync::Arc;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, LOCATION};
use actix_web::{HttpResponse, Resource, web};
use bytes::Bytes;
use utoipa_swagger_ui::Config;
pub(crate) use variant::Variant;

use bakehouse_http::response::problem::Problem;

const OPENAPI: &str = "/openapi.json";
/// URL of the OpenAPI document relative to `/docs/`, so that it works behind a path prefix.
const OPENAPI_RELATIVE: &str = "../openapi.json";

/// Content security policy of the page at `/docs/`: allows its own files, requests to this server,
/// icons embedded in its style sheet, and styles set by its scripts.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; form-action 'none'; \
    base-uri 'none'; frame-ancestors 'none'";

/// Both documents, serialised once and shared by all worker threads.
pub(crate) struct Documents {
    openapi: Bytes,
    asyncapi: Bytes,
}

impl Documents {
    pub(crate) fn new(variant: &Variant) -> Self {
        Self {
            openapi: openapi::document(variant).to_string().into(),
            asyncapi: asyncapi::document(variant.public_url.as_ref())
                .to_string()
                .into(),
        }
    }
}

/// Registers the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig, documents: &Documents) {
    let swagger = web::Data::new(Config::from(OPENAPI_RELATIVE));
    let page = web::resource("/docs/{file:.*}")
        .app_data(swagger)
        .route(web::get().to(file))
        .default_service(Problem::other_methods("GET, HEAD"));
    let redirect = web::resource("/docs")
        .route(web::get().to(redirect_to_page))
        .default_service(Problem::other_methods("GET, HEAD"));
    config
        .service(document(OPENAPI, &documents.openapi))
        .service(document("/asyncapi.json", &documents.asyncapi))
        .service(redirect)
        .service(page);
}

async fn redirect_to_page() -> HttpResponse {
    HttpResponse::MovedPermanently()
        .insert_header((LOCATION, "/docs/"))
        .finish()
}

/// Serves a file of the page at `/docs/`.
async fn file(
    name: web::Path<String>,
    swagger: web::Data<Config<'static>>,
) -> Result<HttpResponse, Problem> {
    let swagger: Arc<Config<'static>> = swagger.into_inner();
    let found = utoipa_swagger_ui::serve(&name, swagger).map_err(|error| {
        tracing::error!("docs: cannot serve file: {error}");
        Problem::internal()
    })?;
    let found =
        found.ok_or_else(|| Problem::not_found(format!("there is nothing at /docs/{name}")))?;
    let mut answer = HttpResponse::Ok();
    answer
        .content_type(found.content_type)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, CSP));
    if found.gzpipped {
        answer.insert_header((CONTENT_ENCODING, "gzip"));
    }
    Ok(answer.body(found.bytes.into_owned()))
}

fn document(path: &str, content: &Bytes) -> Resource {
    let content = content.clone();
    let get = move || answer(content.clone());
    web::resource(path)
        .route(web::get().to(get.clone()))
        .default_service(Problem::other_methods("GET, HEAD"))
}

async fn answer(document: Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(document)
}
