//! The feed, where the menu says.
//!
//! - `wishes`: what a subscriber asks for;
//! - `places`: how many may; [`crate::exposure`]: pages of which origins;
//! - `follower`: a subscriber's way along the feed;
//! - `socket` and `stream`: over a websocket, and as server-sent events;
//! - `outgoing`: bytes on their way to a subscriber;
//! - `wire`: what is said beside the frames.

mod clock;
mod follower;
#[cfg(test)]
mod fuzz;
mod outgoing;
mod places;
mod socket;
mod stream;
mod wire;
mod wishes;

use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::Shutdown;

pub use places::PlaceLimits;
pub(crate) use places::Places;

use crate::access::{Access, Caller, Visitor};
use crate::connections::is_handshake;
use crate::exposure::Exposure;
use crate::problem::Problem;
use crate::server::{Doors, Settings};

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
    visitor: Visitor,
    places: web::Data<Places>,
    (shutdown, exposure): (web::Data<Shutdown>, web::Data<Exposure>),
    (doors, settings, access): (web::Data<Doors>, web::Data<Settings>, web::Data<Access>),
) -> actix_web::Result<HttpResponse> {
    exposure.check_origin(&request, "follow the feed")?;
    if doors.feed.epoch().is_none() {
        return Err(Problem::unavailable("the feed is not available yet").into());
    }
    let shutdown = shutdown.as_ref().clone();
    let principal = visitor.principal();
    let caller = Caller::of_request(principal.as_ref(), &request);
    let places = places.into_inner();
    if is_handshake(request.head()) {
        let place = match principal {
            Some(_) => places.take(caller),
            None => places.take_unauthenticated(caller),
        };
        let place = place.map_err(Problem::from)?;
        let shared = (doors, settings, access);
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
    let stream = stream::subscribe(&request, place, principal, &doors, &settings, shutdown);
    Ok(stream.await?)
}
