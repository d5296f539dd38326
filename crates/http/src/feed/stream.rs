//! The feed as server-sent events (the HTML standard, section 9.2): the same
//! frames, each with its position as the event's id, so that a browser's
//! `EventSource` resumes by itself.

use std::convert::Infallible;

use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bakehouse_pipeline::{Position, Shutdown};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, Interval, sleep_until};

use super::clock::expiry;
use super::follower::{Follower, Piece};
use super::places::Place;
use super::wire::Farewell;
use super::wishes::{Wishes, position};
use crate::access::Principal;
use crate::menu::Menu;
use crate::metrics;
use crate::problem::{InputFault, Problem};
use crate::server::{Doors, Settings};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Keeps proxies from gathering events before they pass them on.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Answers with a stream of events.
pub(super) async fn subscribe(
    request: &HttpRequest,
    place: Place,
    principal: Principal,
    doors: &Doors,
    settings: &Settings,
    shutdown: Shutdown,
) -> Result<HttpResponse, Problem> {
    let wishes = wishes(request, &doors.menu).map_err(Problem::invalid)?;
    let heartbeat = settings.heartbeat;
    let expires_at = expiry(&principal);
    let begun = Follower::begin(&doors.feed, principal, wishes, heartbeat).await;
    let (follower, welcome) = begun.map_err(problem)?;
    let events = Events {
        follower,
        beat: tokio::time::interval_at(Instant::now() + heartbeat, heartbeat),
        expires_at,
        shutdown,
        _place: place,
    };
    let first = stream::iter([Ok(retry()), Ok(event(&welcome))]);
    let rest = stream::unfold(Some(events), turn).flat_map(stream::iter);
    let all = first.chain(rest.map(Ok::<_, Infallible>));
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((BUFFERING, HeaderValue::from_static("no")))
        .streaming(all))
}

/// The query's, and from the last event on that the client has seen.
fn wishes(request: &HttpRequest, menu: &Menu) -> Result<Wishes, Vec<InputFault>> {
    let mut wishes = Wishes::parse(request.query_string(), menu)?;
    if let Some(seen) = request.headers().get(LAST_EVENT_ID) {
        let seen = seen.to_str().map_err(|error| error.to_string());
        let since = seen.and_then(position);
        wishes.since = Some(since.map_err(|detail| {
            let pointer = "/header/last-event-id".to_owned();
            vec![InputFault { pointer, detail }]
        })?);
    }
    Ok(wishes)
}

/// Before anything has been answered a farewell is just a problem.
fn problem(farewell: Farewell) -> Problem {
    match farewell {
        Farewell::NotAvailable(why) => Problem::gone(why),
        other => Problem::unavailable(other.message()),
    }
}

struct Events {
    follower: Follower,
    beat: Interval,
    expires_at: Instant,
    shutdown: Shutdown,
    _place: Place,
}

/// The next events; after the last of them there is nobody to go on with.
async fn turn(events: Option<Events>) -> Option<(Vec<Bytes>, Option<Events>)> {
    let mut events = events?;
    let next = tokio::select! {
        next = events.follower.next() => next,
        _ = events.beat.tick() => Ok(events.follower.beat()),
        () = sleep_until(events.expires_at) => Err(Farewell::Expired),
        () = events.shutdown.cancelled() => Err(Farewell::GoingAway),
    };
    match next {
        Ok(pieces) => Some((together(&pieces), Some(events))),
        Err(farewell) => {
            metrics::sent_away(farewell.code());
            Some((vec![line(None, &farewell.frame())], None))
        }
    }
}

/// One piece of a body instead of many: each is written by itself.
fn together(pieces: &[Piece]) -> Vec<Bytes> {
    let all: Vec<Bytes> = pieces.iter().map(event).collect();
    match all.as_slice() {
        [] | [_] => all,
        several => vec![several.concat().into()],
    }
}

/// When a client whose connection ends comes back, each at another time.
fn retry() -> Bytes {
    let wait = Farewell::GoingAway.comeback().unwrap_or_default();
    format!("retry: {wait}\n\n").into()
}

fn event(piece: &Piece) -> Bytes {
    match piece {
        Piece::Frame(frame) => line(Some(frame.position), frame.body.get()),
        Piece::Own(text, position) => line(*position, text),
    }
}

/// JSON has no line breaks of its own.
fn line(position: Option<Position>, json: &str) -> Bytes {
    let id = position.map_or_else(String::new, |position| format!("id: {position}\n"));
    format!("{id}data: {json}\n\n").into()
}
