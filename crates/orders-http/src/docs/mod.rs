//! What the API says of itself: OpenAPI at `/openapi.json`, AsyncAPI at
//! `/asyncapi.json`, and a page to read and try the first at `/docs/`.

mod asyncapi;
mod bodies;
mod frames;
mod openapi;
pub(crate) mod parts;

use std::sync::Arc;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, LOCATION};
use actix_web::{HttpResponse, Resource, web};
use bytes::Bytes;
pub(crate) use openapi::Variant;
use utoipa_swagger_ui::Config;

use bakehouse_http::response::problem::Problem;

const OPENAPI: &str = "/openapi.json";
/// The document as the page at `/docs/` finds it, whatever prefix a proxy puts before both.
const OPENAPI_OF_PAGE: &str = "../openapi.json";

/// Permissions of the page at `/docs/`: its own files, calls of this server, the icons within
/// its style sheet, and styles that its scripts set on elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; form-action 'none'; \
    base-uri 'none'; frame-ancestors 'none'";

/// Both documents, made once for all threads that answer.
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

/// Adds the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig, documents: &Documents) {
    let swagger = web::Data::new(Config::from(OPENAPI_OF_PAGE));
    let page = web::resource("/docs/{file:.*}")
        .app_data(swagger)
        .route(web::get().to(file))
        .default_service(Problem::other_methods("GET, HEAD"));
    let door = web::resource("/docs")
        .route(web::get().to(to_page))
        .default_service(Problem::other_methods("GET, HEAD"));
    config
        .service(document(OPENAPI, &documents.openapi))
        .service(document("/asyncapi.json", &documents.asyncapi))
        .service(door)
        .service(page);
}

async fn to_page() -> HttpResponse {
    HttpResponse::MovedPermanently()
        .insert_header((LOCATION, "/docs/"))
        .finish()
}

/// A file of the page at `/docs/`.
async fn file(
    name: web::Path<String>,
    swagger: web::Data<Config<'static>>,
) -> Result<HttpResponse, Problem> {
    let swagger: Arc<Config<'static>> = swagger.into_inner();
    let found = utoipa_swagger_ui::serve(&name, swagger).map_err(|error| {
        tracing::error!("a file of the page at /docs/ cannot be made: {error}");
        Problem::internal()
    })?;
    let found =
        found.ok_or_else(|| Problem::not_found(format!("there is nothing at /docs/{name}")))?;
    let mut answer = HttpResponse::Ok();
    answer
        .content_type(found.content_type)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY));
    if found.gzpipped {
        answer.insert_header((CONTENT_ENCODING, "gzip"));
    }
    Ok(answer.body(found.bytes.into_owned()))
}

fn document(path: &str, content: &Bytes) -> Resource {
    let again = content.clone();
    let get = move || answer(again.clone());
    web::resource(path)
        .route(web::get().to(get.clone()))
        .default_service(Problem::other_methods("GET, HEAD"))
}

async fn answer(document: Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(document)
}
