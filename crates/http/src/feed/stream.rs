//! The feed as server-sent events (the HTML standard, section 9.2): the same
//! frames, each with log and position as the event's id, so that a browser's
//! `EventSource` resumes by itself, and notices where it meets another log.
//!
//! The body ends with the connection instead of being sent in chunks: its bytes are the same for
//! all subscribers then, and go to the kernel without being copied, as those of websockets do.

use std::convert::Infallible;
use std::sync::Arc;

use actix_http::ConnectionType;
use actix_web::body::{BodyStream, BoxBody};
use actix_web::http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use bakehouse_engine::{Position, Shutdown};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, Interval, sleep_until};

use super::clock::expiry;
use super::messages::CloseReason;
use super::outgoing::Outgoing;
use super::session::{FeedSession, Piece};
use super::subscribe_request::{Since, SubscribeRequest};
use super::subscriber_limits::SubscriberPermit;
use crate::api_definition::ApiDefinition;
use crate::auth::Principal;
use crate::metrics;
use crate::response::problem::{InputFault, Problem};
use crate::state::{AppState, RequestSettings};
use crate::websocket::frame;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Keeps proxies from gathering events before they pass them on.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Keeps proxies from compressing events, which holds them back.
const CACHING: &str = "no-store, no-transform";
/// End of an event.
const END: &[u8] = b"\n\n";

/// Answers with a stream of events.
pub(super) async fn subscribe(
    request: &HttpRequest,
    place: SubscriberPermit,
    principal: Principal,
    state: &AppState,
    settings: &RequestSettings,
    shutdown: Shutdown,
) -> Result<HttpResponse, Problem> {
    let wanted = subscribe_request(request, &state.api).map_err(Problem::invalid)?;
    let heartbeat = settings.heartbeat;
    let expires_at = expiry(&principal);
    let begun = FeedSession::begin(&state.feed, principal, wanted, heartbeat).await;
    let (follower, welcome) = begun.map_err(problem)?;
    let epoch: Arc<str> = state.feed.epoch().unwrap_or_default().into();
    let mut events = Events {
        follower,
        beat: tokio::time::interval_at(Instant::now() + heartbeat, heartbeat),
        expires_at,
        shutdown,
        epoch,
        outgoing: Outgoing::new(request),
        is_closed: false,
        _place: place,
    };
    events.outgoing.extend([retry()]);
    events.send(&[welcome]);
    let body = stream::unfold(Box::new(events), turn);
    let body = BodyStream::new(body.map(Ok::<_, Infallible>));
    let mut answer = HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, CACHING))
        .insert_header((BUFFERING, HeaderValue::from_static("no")))
        .finish();
    let head = answer.head_mut();
    head.no_chunking(true);
    head.set_connection_type(ConnectionType::Close);
    Ok(answer.set_body(BoxBody::new(body)))
}

/// The query's, and from the last event on that the client has seen.
fn subscribe_request(
    request: &HttpRequest,
    api: &ApiDefinition,
) -> Result<SubscribeRequest, Vec<InputFault>> {
    let mut wanted = SubscribeRequest::parse(request.query_string(), api)?;
    if let Some(seen) = request.headers().get(LAST_EVENT_ID) {
        let seen = seen.to_str().map_err(|error| error.to_string());
        let since = seen.and_then(|seen| match seen.trim() {
            // What an EventSource sends that has seen no event with an id.
            "" => Ok(None),
            seen => Since::parse(seen).map(Some),
        });
        let since = since.map_err(|detail| {
            let pointer = "/header/last-event-id".to_owned();
            vec![InputFault { pointer, detail }]
        })?;
        if let Some(since) = since {
            wanted.resume(since);
        }
    }
    Ok(wanted)
}

/// Before anything has been answered a farewell is just a problem.
fn problem(farewell: CloseReason) -> Problem {
    match farewell {
        CloseReason::NotAvailable(why) => Problem::gone(why),
        other => Problem::unavailable(other.message()),
    }
}

struct Events {
    follower: FeedSession,
    beat: Interval,
    expires_at: Instant,
    shutdown: Shutdown,
    /// The log that positions are of.
    epoch: Arc<str>,
    outgoing: Outgoing,
    is_closed: bool,
    _place: SubscriberPermit,
}

/// Next bytes to be sent that the kernel has not taken already.
async fn turn(mut events: Box<Events>) -> Option<(Bytes, Box<Events>)> {
    loop {
        if let Some(next) = events.outgoing.next() {
            return Some((next, events));
        }
        if events.is_closed {
            return None;
        }
        events.step().await;
    }
}

impl Events {
    async fn step(&mut self) {
        let next = tokio::select! {
            next = self.follower.next() => next,
            _ = self.beat.tick() => Ok(self.follower.beat()),
            () = sleep_until(self.expires_at) => Err(CloseReason::Expired),
            () = self.shutdown.cancelled() => Err(CloseReason::GoingAway),
        };
        match next {
            Ok(pieces) => self.send(&pieces),
            Err(farewell) => {
                metrics::sent_away(farewell.code());
                self.send(&[Piece::Own(farewell.frame(), None)]);
                self.is_closed = true;
            }
        }
    }

    fn send(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            let (position, data) = match piece {
                // What a websocket is sent, without its header: these bytes are there already.
                Piece::Frame(shared) => {
                    let rendered = shared.rendered(|frame| frame::text(frame.body.get()));
                    (Some(shared.position), frame::payload(&rendered))
                }
                Piece::Own(text, position) => (*position, Bytes::from(text.clone())),
            };
            let begin = beginning(&self.epoch, position);
            self.outgoing.extend([begin, data, Bytes::from_static(END)]);
        }
    }
}

/// When a client whose connection ends comes back, each at another time.
fn retry() -> Bytes {
    let wait = CloseReason::GoingAway.comeback().unwrap_or_default();
    format!("retry: {wait}\n\n").into()
}

/// An event up to its data, which is JSON and has no line breaks of its own.
fn beginning(epoch: &str, position: Option<Position>) -> Bytes {
    match position {
        Some(position) => format!("id: {epoch}:{position}\ndata: ").into(),
        None => Bytes::from_static(b"data: "),
    }
}
