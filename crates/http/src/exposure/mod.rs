//! Exposure middleware: checks of hosts and origins, and headers for browsers. It runs before
//! any other check of a request.
//!
//! - `state`: settings in effect, shared by all checks;
//! - `authority`: parsing of hosts and ports;
//! - `host` and `host_check`: hosts that are served while no token is required (DNS rebinding);
//! - `origin` and `origin_check`: pages that may write and subscribe to the feed;
//! - `cors`: pages that may read responses (CORS);
//! - `headers`: security headers;
//! - `public_url`: links under the public URL behind a proxy;
//! - `trusted_proxies`: proxies whose forwarding headers are trusted;
//! - `refusals`: log lines and counts of refused hosts and origins.

mod authority;
mod cors;
mod headers;
mod host;
mod host_check;
mod origin;
mod origin_check;
mod public_url;
mod refusals;
mod state;
mod trusted_proxies;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};

use crate::response::problem::Problem;
pub use public_url::PublicUrl;
pub use state::ExposureSettings;
pub(crate) use state::{Exposure, remember_local};
pub(crate) use trusted_proxies::masked;
pub use trusted_proxies::{Network, TrustedProxies};

/// Middleware that refuses disallowed hosts, responds to preflights, and adds headers to every
/// response.
pub(crate) async fn exposure<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(exposure) = request.app_data::<web::Data<Exposure>>().cloned() else {
        let answer = Problem::internal().error_response();
        return Ok(request.into_response(answer));
    };
    if let Err(problem) = host_check::check(&exposure, &request) {
        let mut answer = request.into_response(problem.error_response());
        headers::protect(answer.response_mut());
        return Ok(answer);
    }
    let page = cors::Page::of(&exposure, request.headers());
    let preflight = page
        .as_ref()
        .and_then(|page| page.preflight(&exposure, &request));
    let mut answer = match preflight {
        Some(answer) => request.into_response(answer),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    cors::complete(&exposure, page.as_ref(), answer.response_mut());
    headers::protect(answer.response_mut());
    if let Some(url) = &exposure.public_url {
        url.complete(answer.headers_mut());
    }
    Ok(answer)
}
