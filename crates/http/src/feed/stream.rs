//! Feed as server-sent events (HTML standard, section 9.2). Each frame carries epoch and position
//! as the event's id, so that a browser's `EventSource` resumes by itself and detects another
//! log.
//!
//! The body is not chunked and ends with the connection. Its bytes are therefore the same for all
//! subscribers and are written to the socket without a copy, like those of websockets.

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
use super::session::{FeedMessage, FeedSession};
use super::subscribe_request::{Since, SubscribeRequest};
use super::subscriber_limits::SubscriberPermit;
use crate::api_definition::ApiDefinition;
use crate::auth::Principal;
use crate::metrics;
use crate::response::problem::{InputFault, Problem};
use crate::state::{AppState, RequestSettings};
use crate::websocket::frame;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Header that keeps proxies from buffering events.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Value of `Cache-Control`; `no-transform` keeps proxies from compressing events, which delays
/// them.
const NO_CACHE: &str = "no-store, no-transform";
/// End of an event.
const EVENT_END: &[u8] = b"\n\n";

/// Responds with a stream of events.
///
/// # Errors
/// 400 for an invalid request, 410 for a position that cannot be served, 503 while the feed is
/// not available.
pub(super) async fn subscribe(
    request: &HttpRequest,
    permit: SubscriberPermit,
    principal: Principal,
    state: &AppState,
    settings: &RequestSettings,
    shutdown: Shutdown,
) -> Result<HttpResponse, Problem> {
    let subscribe_request = subscribe_request(request, &state.api).map_err(Problem::invalid)?;
    let heartbeat = settings.heartbeat;
    let expires_at = expiry(&principal);
    let started = FeedSession::start(&state.feed, principal, subscribe_request, heartbeat).await;
    let (session, welcome) = started.map_err(problem)?;
    let epoch: Arc<str> = state.feed.epoch().unwrap_or_default().into();
    let mut events = EventStream {
        session,
        heartbeat: tokio::time::interval_at(Instant::now() + heartbeat, heartbeat),
        expires_at,
        shutdown,
        epoch,
        outgoing: Outgoing::new(request),
        is_closed: false,
        _permit: permit,
    };
    events.outgoing.extend([retry_field()]);
    events.send(&[welcome]);
    let body = stream::unfold(Box::new(events), next_chunk);
    let body = BodyStream::new(body.map(Ok::<_, Infallible>));
    let mut response = HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, NO_CACHE))
        .insert_header((X_ACCEL_BUFFERING, HeaderValue::from_static("no")))
        .finish();
    let head = response.head_mut();
    head.no_chunking(true);
    head.set_connection_type(ConnectionType::Close);
    Ok(response.set_body(BoxBody::new(body)))
}

/// Parses the query string; the position of `Last-Event-ID` takes precedence over its `since`.
fn subscribe_request(
    request: &HttpRequest,
    api: &ApiDefinition,
) -> Result<SubscribeRequest, Vec<InputFault>> {
    let mut subscribe_request = SubscribeRequest::parse(request.query_string(), api)?;
    if let Some(id) = request.headers().get(LAST_EVENT_ID) {
        let id = id
            .to_str()
            .map_err(|_| "expected a position, or EPOCH:POSITION, in ASCII".to_owned());
        let since = id.and_then(|id| match id.trim() {
            // An EventSource that has received no event with an id sends an empty one.
            "" => Ok(None),
            id => Since::parse(id).map(Some),
        });
        let since = since.map_err(|detail| {
            let pointer = "/header/last-event-id".to_owned();
            vec![InputFault { pointer, detail }]
        })?;
        if let Some(since) = since {
            subscribe_request.resume(since);
        }
    }
    Ok(subscribe_request)
}

/// Problem document for a session that could not be started.
fn problem(reason: CloseReason) -> Problem {
    match reason {
        CloseReason::NotAvailable(why) => Problem::gone(why),
        other => Problem::unavailable(other.message()),
    }
}

/// State of one stream of events.
struct EventStream {
    session: FeedSession,
    heartbeat: Interval,
    expires_at: Instant,
    shutdown: Shutdown,
    /// Epoch of the log, part of the events' ids.
    epoch: Arc<str>,
    outgoing: Outgoing,
    is_closed: bool,
    _permit: SubscriberPermit,
}

/// Waits for the next bytes that the HTTP library has to send; `None` ends the response.
async fn next_chunk(mut events: Box<EventStream>) -> Option<(Bytes, Box<EventStream>)> {
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

impl EventStream {
    /// Waits for the next event of the stream and queues its bytes.
    async fn step(&mut self) {
        let next = tokio::select! {
            next = self.session.next() => next,
            _ = self.heartbeat.tick() => Ok(self.session.heartbeat()),
            () = sleep_until(self.expires_at) => Err(CloseReason::Expired),
            () = self.shutdown.cancelled() => Err(CloseReason::Unavailable),
        };
        match next {
            Ok(messages) => self.send(&messages),
            Err(reason) => {
                metrics::subscription_closed(reason.code());
                self.send(&[FeedMessage::Text(reason.frame(), None)]);
                self.is_closed = true;
            }
        }
    }

    /// Queues messages as events.
    fn send(&mut self, messages: &[FeedMessage]) {
        for message in messages {
            let (position, data) = match message {
                // Shares the rendered websocket frame, without its header.
                FeedMessage::Frame(shared) => {
                    let rendered = shared.rendered(|frame| frame::text(frame.body.get()));
                    (Some(shared.position), frame::payload(&rendered))
                }
                FeedMessage::Text(text, position) => (*position, Bytes::from(text.clone())),
            };
            let head = event_head(&self.epoch, position);
            self.outgoing
                .extend([head, data, Bytes::from_static(EVENT_END)]);
        }
    }
}

/// Field `retry`: random delay before the client reconnects, in milliseconds.
fn retry_field() -> Bytes {
    let delay = CloseReason::Unavailable
        .reconnect_delay_ms()
        .unwrap_or_default();
    format!("retry: {delay}\n\n").into()
}

/// Beginning of an event, up to its data. The data is JSON without line breaks.
fn event_head(epoch: &str, position: Option<Position>) -> Bytes {
    match position {
        Some(position) => format!("id: {epoch}:{position}\ndata: ").into(),
        None => Bytes::from_static(b"data: "),
    }
}
