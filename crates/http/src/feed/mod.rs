//! Feed over HTTP: its route and its two transports, websocket and server-sent events.
//!
//! - `subscribe_request`: start position and filter of a subscription;
//! - `subscriber_limits`: limits on concurrent subscribers; [`crate::exposure`]: allowed origins;
//! - `session`: one subscription, independent of its transport;
//! - `socket` and `stream`: the transports;
//! - `outgoing`: bytes queued for one subscriber;
//! - `messages`: control frames and close codes.

mod clock;
#[cfg(test)]
mod fuzz;
mod messages;
mod outgoing;
mod session;
mod socket;
mod stream;
mod subscribe_request;
mod subscriber_limits;

use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::Shutdown;

pub(crate) use subscriber_limits::SubscriberLimits;
pub use subscriber_limits::SubscriberSettings;

use crate::auth::{Access, MaybePrincipal, RateLimitKey};
use crate::connections::is_handshake;
use crate::exposure::Exposure;
use crate::response::problem::Problem;
use crate::state::{AppState, RequestSettings};

/// Adds the route; `path` comes from the domain's API definition.
pub(crate) fn routes(config: &mut web::ServiceConfig, path: &str) {
    let feed = web::resource(path)
        .route(web::get().to(subscribe))
        .default_service(Problem::other_methods("GET"));
    config.service(feed);
}

/// Handles `GET` on the feed's path: a websocket handshake, or `Accept: text/event-stream`.
async fn subscribe(
    request: HttpRequest,
    payload: web::Payload,
    maybe_principal: MaybePrincipal,
    limits: web::Data<SubscriberLimits>,
    (shutdown, exposure): (web::Data<Shutdown>, web::Data<Exposure>),
    (state, settings, access): (
        web::Data<AppState>,
        web::Data<RequestSettings>,
        web::Data<Access>,
    ),
) -> actix_web::Result<HttpResponse> {
    exposure.check_origin(&request, "follow the feed")?;
    if state.feed.epoch().is_none() {
        return Err(Problem::unavailable("the feed is not available yet").into());
    }
    let shutdown = shutdown.as_ref().clone();
    let principal = maybe_principal.principal();
    let key = RateLimitKey::of_request(principal.as_ref(), &request);
    let limits = limits.into_inner();
    if is_handshake(request.head()) {
        let permit = match principal {
            Some(_) => limits.acquire(key),
            None => limits.acquire_unauthenticated(key),
        };
        let permit = permit.map_err(Problem::from)?;
        let shared = (state, settings, access);
        return socket::subscribe(&request, payload, permit, principal, shutdown, shared).await;
    }
    let accept = request.headers().get(ACCEPT);
    let accept = accept
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !accept.contains("text/event-stream") {
        return Err(Problem::upgrade_required().into());
    }
    let principal = principal.ok_or_else(Problem::unauthenticated)?;
    let permit = limits.acquire(key).map_err(Problem::from)?;
    let stream = stream::subscribe(&request, permit, principal, &state, &settings, shutdown);
    Ok(stream.await?)
}
