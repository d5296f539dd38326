//! The feed, where the menu says.
//!
//! - `request`: what a subscriber asks for;
//! - `places`: how many may; [`crate::exposure`]: pages of which origins;
//! - `follower`: a subscriber's way along the feed;
//! - `socket` and `stream`: over a websocket, and as server-sent events;
//! - `outgoing`: bytes on their way to a subscriber;
//! - `wire`: what is said beside the frames.

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

/// Adds the route.
pub(crate) fn routes(config: &mut web::ServiceConfig, path: &str) {
    let feed = web::resource(path)
        .route(web::get().to(subscribe))
        .default_service(Problem::other_methods("GET"));
    config.service(feed);
}

/// `GET` on the feed's path.
async fn subscribe(
    request: HttpRequest,
    payload: web::Payload,
    visitor: MaybePrincipal,
    places: web::Data<SubscriberLimits>,
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
    let principal = visitor.principal();
    let caller = RateLimitKey::of_request(principal.as_ref(), &request);
    let places = places.into_inner();
    if is_handshake(request.head()) {
        let place = match principal {
            Some(_) => places.take(caller),
            None => places.take_unauthenticated(caller),
        };
        let place = place.map_err(Problem::from)?;
        let shared = (state, settings, access);
        return socket::subscribe(&request, payload, place, principal, shutdown, shared).await;
    }
    let accept = request.headers().get(ACCEPT);
    let accept = accept
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !accept.contains("text/event-stream") {
        return Err(Problem::upgrade_required().into());
    }
    let principal = principal.ok_or_else(Problem::unauthenticated)?;
    let place = places.take(caller).map_err(Problem::from)?;
    let stream = stream::subscribe(&request, place, principal, &state, &settings, shutdown);
    Ok(stream.await?)
}
