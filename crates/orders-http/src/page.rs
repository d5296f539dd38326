//! The page at `/`, which shows orders and their processing. All its files are embedded in the
//! program; it loads nothing from other servers.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpResponse, web};
use bakehouse_http::response::problem::Problem;

/// Content security policy of the page: it may only use this server.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Files of the page: name, media type and content.
const FILES: [(&str, &str, &str); 13] = [
    ("app.js", SCRIPT, include_str!("../page/app.js")),
    ("api.js", SCRIPT, include_str!("../page/api.js")),
    ("dom.js", SCRIPT, include_str!("../page/dom.js")),
    ("events.js", SCRIPT, include_str!("../page/events.js")),
    ("orders.js", SCRIPT, include_str!("../page/orders.js")),
    ("parked.js", SCRIPT, include_str!("../page/parked.js")),
    (
        "processing.js",
        SCRIPT,
        include_str!("../page/processing.js"),
    ),
    ("chart.js", SCRIPT, include_str!("../page/chart.js")),
    ("stages.js", SCRIPT, include_str!("../page/stages.js")),
    (
        "throughput.js",
        SCRIPT,
        include_str!("../page/throughput.js"),
    ),
    // The published JavaScript client.
    (
        "feed.js",
        SCRIPT,
        include_str!("../../../clients/js/src/index.js"),
    ),
    (
        "style.css",
        "text/css; charset=utf-8",
        include_str!("../page/style.css"),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_str!("../page/icon.svg"),
    ),
];

/// Registers the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let page = web::resource("/")
        .route(web::get().to(page))
        .default_service(Problem::other_methods("GET, HEAD"));
    let file = web::resource("/page/{name}")
        .route(web::get().to(file))
        .default_service(Problem::other_methods("GET, HEAD"));
    config.service(page).service(file);
}

async fn page() -> HttpResponse {
    answer(
        "text/html; charset=utf-8",
        include_str!("../page/index.html"),
    )
}

async fn file(name: web::Path<String>) -> Result<HttpResponse, Problem> {
    let found = FILES.iter().find(|(known, ..)| *known == *name);
    let (_, kind, content) =
        found.ok_or_else(|| Problem::not_found(format!("there is nothing at /page/{name}")))?;
    Ok(answer(kind, content))
}

fn answer(kind: &str, content: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(kind)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, CSP))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(content)
}
