//! Which pages may use the API from a browser (the Fetch standard's CORS).

use actix_cors::Cors;
use actix_web::http::Method;
use actix_web::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};

/// How long, in seconds, a browser may remember that it may.
const MEMORY: usize = 3_600;
/// What pages may read of an answer beside its body.
const EXPOSED: [&str; 7] = [
    "etag",
    "link",
    "location",
    "operation-location",
    "preference-applied",
    "retry-after",
    "www-authenticate",
];

/// Lets pages of these origins in; `*` lets in all, since tokens come in a
/// header that no foreign page can have the browser add by itself.
pub(crate) fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::DELETE,
        ])
        .allowed_headers([ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH])
        .allowed_headers(["idempotency-key", "prefer", "x-correlation-id"])
        .expose_headers(EXPOSED)
        .max_age(MEMORY)
        // Others are answered as well, only not so that a browser shows it.
        .block_on_origin_mismatch(false);
    if origins.iter().any(|origin| origin == "*") {
        return cors.allow_any_origin().send_wildcard();
    }
    origins
        .iter()
        .fold(cors, |cors, origin| cors.allowed_origin(origin))
}
