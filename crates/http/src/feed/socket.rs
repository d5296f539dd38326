//! Feed over a websocket.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use actix_web::body::{BodyStream, BoxBody};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use bakehouse_engine::{Frame, Shutdown};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::clock::expiry;
use super::messages::{ClientFrame, CloseReason, Subscribe};
use super::outgoing::Outgoing;
use super::session::{FeedMessage, FeedSession};
use super::subscribe_request::SubscribeRequest;
use super::subscriber_limits::{SubscriberLimitExceeded, SubscriberPermit};
use crate::auth::{Access, Principal, RateLimitKey, Scope};
use crate::connections::Connection;
use crate::metrics;
use crate::response::problem::{InputFault, Problem};
use crate::state::{AppState, RequestSettings};
use crate::websocket::{
    HandshakeError, Incoming, Limits, Messages, Rate, TokenBucket, Violation, frame, upgrade,
};

/// Maximum size of a message in bytes: enough for a token and filters.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;
/// Maximum number of frames of a message.
const MAX_FRAGMENTS: u32 = 64;
/// Rate of messages, and of control frames beyond the answers to pings, per connection.
const FRAME_RATE: Rate = Rate {
    burst: 60,
    per_second: 10,
};
/// Rate of `subscribe` frames per connection; each may cause a read from the store.
const SUBSCRIBE_RATE: Rate = Rate {
    burst: 20,
    per_second: 1,
};
/// Time that a client has to authenticate after the handshake.
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(5);
/// Time that a client has to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Limits on what a client may send that is pinged at this interval. A client answers each
/// heartbeat twice: with a pong of the websocket protocol and with a `pong` frame of the feed.
fn limits(heartbeat: Duration) -> Limits {
    let heartbeats = Duration::from_secs(1).as_millis() / heartbeat.as_millis().max(1);
    let heartbeats = u32::try_from(heartbeats).unwrap_or(u32::MAX);
    let rate = Rate {
        burst: FRAME_RATE.burst.saturating_add(heartbeats),
        per_second: FRAME_RATE.per_second.saturating_add(heartbeats),
    };
    Limits {
        max_message_bytes: MAX_MESSAGE_BYTES,
        max_fragments: MAX_FRAGMENTS,
        control_frames: rate,
        messages: rate,
    }
}

/// 426 for another version of the protocol; else 400 with the invalid header.
fn handshake_problem(error: HandshakeError) -> Problem {
    if error == HandshakeError::Version {
        return Problem::websocket_version();
    }
    Problem::invalid(vec![InputFault {
        pointer: "/header/upgrade".into(),
        detail: format!("expected a websocket handshake (RFC 6455): {error}"),
    }])
}

/// Answers the handshake and serves the feed. Without a principal, the client has to authenticate
/// by its first frame.
///
/// # Errors
/// 400 or 426, when the request is not a valid handshake.
pub(super) async fn subscribe(
    request: &HttpRequest,
    payload: web::Payload,
    permit: SubscriberPermit,
    principal: Option<Principal>,
    shutdown: Shutdown,
    (state, settings, access): (
        web::Data<AppState>,
        web::Data<RequestSettings>,
        web::Data<Access>,
    ),
) -> actix_web::Result<HttpResponse> {
    let subscribe_request =
        SubscribeRequest::parse(request.query_string(), &state.api).map_err(CloseReason::from);
    let heartbeat = settings.heartbeat;
    let upgraded = upgrade(request, payload, limits(heartbeat));
    let (response, messages) = upgraded.map_err(handshake_problem)?;
    let now = Instant::now();
    let authentication_deadline = now + AUTHENTICATION_TIMEOUT;
    let expires_at = principal.as_ref().map_or(authentication_deadline, expiry);
    let heartbeat_at = now + heartbeat;
    let socket = Socket {
        messages,
        state,
        access,
        heartbeat,
        shutdown: Box::pin(shutdown.cancelled_owned()),
        phase: Phase::Opening(Some(subscribe_request)),
        expires_at,
        principal,
        heartbeat_at,
        timer: Box::pin(sleep_until(heartbeat_at.min(expires_at))),
        last_received_at: now,
        subscribe_rate: TokenBucket::new(SUBSCRIBE_RATE, now.into_std()),
        outgoing: Outgoing::new(request),
        connection: request.conn_data::<Connection>().cloned(),
        address: RateLimitKey::of_request(None, request),
        polls_feed_first: false,
        permit,
    };
    let frames = stream::unfold(Box::new(socket), next_chunk);
    let body = BodyStream::new(frames.map(Ok::<_, Infallible>));
    Ok(response.set_body(BoxBody::new(body)))
}

/// State of one websocket.
struct Socket {
    messages: Messages,
    state: web::Data<AppState>,
    access: web::Data<Access>,
    heartbeat: Duration,
    // These two futures are kept between waits: with thousands of subscribers, registering and
    // unregistering a waiter for each of them would be the largest cost of an event.
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Timer of the next heartbeat or the expiry, whichever is first.
    timer: Pin<Box<Sleep>>,
    phase: Phase,
    /// Token expiry, or the authentication deadline if no token was received.
    expires_at: Instant,
    principal: Option<Principal>,
    heartbeat_at: Instant,
    /// Time of the client's last message.
    last_received_at: Instant,
    subscribe_rate: TokenBucket,
    outgoing: Outgoing,
    connection: Option<Connection>,
    /// Rate limit key of the client's address.
    address: RateLimitKey,
    polls_feed_first: bool,
    permit: SubscriberPermit,
}

/// Phase of a connection.
enum Phase {
    /// Nothing has been sent yet; holds the parsed query string.
    Opening(Option<Result<SubscribeRequest, CloseReason>>),
    /// Waiting for the first frame, which must carry a token.
    Authenticating,
    /// Frames of the feed are sent.
    Subscribed(Box<FeedSession>),
    /// A close frame has been sent; waiting for the answer until this time.
    Closing(Instant),
    /// Nothing more is sent or read.
    Closed,
}

/// Waits for the next bytes that the HTTP library has to send; `None` ends the connection.
async fn next_chunk(mut socket: Box<Socket>) -> Option<(Bytes, Box<Socket>)> {
    loop {
        if let Some(next) = socket.outgoing.next() {
            return Some((next, socket));
        }
        if matches!(socket.phase, Phase::Closed) {
            return None;
        }
        let sent = match socket.step().await {
            Ok(sent) => sent,
            Err(termination) => socket.terminate(termination),
        };
        socket.outgoing.extend(sent);
    }
}

/// Cause of the end of a connection.
enum Termination {
    /// The server closes it.
    Server(CloseReason),
    /// The client violated the websocket protocol or a limit.
    Violation(Violation),
    /// The client closes it, with this code if it sent one.
    Client(Option<u16>),
    /// The connection is lost.
    Disconnected,
}

impl From<CloseReason> for Termination {
    fn from(reason: CloseReason) -> Self {
        Self::Server(reason)
    }
}

/// Event that wakes a connection.
enum Event {
    Feed(Result<Vec<FeedMessage>, CloseReason>),
    Incoming(Incoming),
    Timer,
    Shutdown,
}

impl Socket {
    /// Waits for the next event and returns the bytes to send.
    async fn step(&mut self) -> Result<Vec<Bytes>, Termination> {
        match &mut self.phase {
            Phase::Opening(request) => {
                let request = request.take().unwrap_or(Ok(SubscribeRequest::default()))?;
                if self.principal.is_none() {
                    self.phase = Phase::Authenticating;
                    return Ok(Vec::new());
                }
                Box::pin(self.start_session(request)).await
            }
            Phase::Closing(deadline) => {
                let deadline = *deadline;
                tokio::select! {
                    message = self.messages.next() => match message {
                        Incoming::Close(_) | Incoming::Disconnected | Incoming::Violation(_) => {
                            self.phase = Phase::Closed;
                        }
                        _ => {}
                    },
                    () = sleep_until(deadline) => self.phase = Phase::Closed,
                }
                Ok(Vec::new())
            }
            Phase::Closed => Ok(Vec::new()),
            Phase::Authenticating | Phase::Subscribed(_) => {
                let event = self.next_event().await;
                self.handle(event).await
            }
        }
    }

    /// Waits for the next event. Cancel-safe.
    async fn next_event(&mut self) -> Event {
        let feed = async {
            match &mut self.phase {
                Phase::Subscribed(session) => Event::Feed(session.next().await),
                _ => std::future::pending().await,
            }
        };
        let others = async {
            tokio::select! {
                biased;
                () = &mut self.shutdown => Event::Shutdown,
                () = &mut self.timer => Event::Timer,
                message = self.messages.next() => Event::Incoming(message),
            }
        };
        // Most wake-ups come from the feed, so it is polled first, and the other sources not at
        // all if it is ready. Every second time it is polled last, so that they are not starved.
        self.polls_feed_first = !self.polls_feed_first;
        if self.polls_feed_first {
            tokio::select! { biased; event = feed => event, event = others => event }
        } else {
            tokio::select! { biased; event = others => event, event = feed => event }
        }
    }

    /// Handles an event and returns the bytes to send.
    async fn handle(&mut self, event: Event) -> Result<Vec<Bytes>, Termination> {
        match event {
            Event::Feed(messages) => Ok(messages?.iter().map(bytes).collect()),
            // Boxed, so that a rare event does not enlarge the future of every subscriber.
            Event::Incoming(message) => Box::pin(self.handle_incoming(message)).await,
            Event::Timer => self.handle_timer(),
            Event::Shutdown => Err(CloseReason::Unavailable.into()),
        }
    }

    /// Handles a message of the client.
    async fn handle_incoming(&mut self, message: Incoming) -> Result<Vec<Bytes>, Termination> {
        self.last_received_at = Instant::now();
        match message {
            Incoming::Text(text) => match ClientFrame::parse(&text)? {
                ClientFrame::Pong => Ok(Vec::new()),
                ClientFrame::Subscribe(subscribe) => self.subscribe(subscribe).await,
            },
            Incoming::Binary(_) => {
                Err(CloseReason::BadRequest("expected text, found a binary message".into()).into())
            }
            Incoming::Ping(payload) => Ok(vec![frame::pong(&payload)]),
            Incoming::Pong => Ok(Vec::new()),
            Incoming::Close(code) => Err(Termination::Client(code)),
            Incoming::Disconnected => Err(Termination::Disconnected),
            Incoming::Violation(violation) => Err(Termination::Violation(violation)),
        }
    }

    /// Handles a `subscribe` frame: a token, a new subscription, or both.
    async fn subscribe(&mut self, mut subscribe: Subscribe) -> Result<Vec<Bytes>, Termination> {
        // Reading is paused; what the client sends meanwhile stays in the kernel's buffer.
        let _paused = self.connection.as_ref().map(Connection::pause);
        if let Some(token) = subscribe.token.take() {
            self.authenticate(&token).await?;
        }
        if self.principal.is_none() {
            let why = "token: expected a bearer token";
            return Err(CloseReason::Unauthenticated(why.into()).into());
        }
        if !self.subscribe_rate.take(std::time::Instant::now()) {
            let why = "too many subscribe frames; send at most one per second";
            return Err(CloseReason::BadRequest(why.into()).into());
        }
        let mut request = subscribe.into_request(&self.state.api)?;
        if let Phase::Subscribed(session) = &self.phase {
            // No position is sent twice on one connection. Positions that were filtered out, or
            // that precede the first subscription, have not been sent.
            let last_sent = session.last_sent();
            if request.since.is_some_and(|since| since < last_sent) {
                let why = format!(
                    "since: this connection has sent position {last_sent} already; open another \
                     connection"
                );
                return Err(CloseReason::BadRequest(why).into());
            }
            request.since.get_or_insert(session.processed());
        }
        self.start_session(request).await
    }

    /// Verifies a token and renews the connection's expiry. The principal of a connection cannot
    /// be replaced by another one.
    async fn authenticate(&mut self, token: &str) -> Result<(), CloseReason> {
        // An unavailable token issuer is temporary: the client should reconnect.
        let refused = |problem: Problem| match problem.status_code() {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                CloseReason::Unavailable
            }
            StatusCode::FORBIDDEN => CloseReason::Forbidden(problem.detail().to_owned()),
            _ => CloseReason::Unauthenticated(problem.detail().to_owned()),
        };
        let verified = self.access.verify(token, &self.address).await;
        let principal = verified.map_err(refused)?;
        if !principal.may(Scope::Read) {
            let why = format!(
                "token: lacks the scope {}",
                self.state.api.scope(Scope::Read)
            );
            return Err(CloseReason::Forbidden(why));
        }
        let is_other = |known: &Principal| known.subject() != principal.subject();
        if self.principal.as_ref().is_some_and(is_other) {
            return Err(CloseReason::Forbidden(
                "token: its subject or owner differs from that of this connection; open another"
                    .into(),
            ));
        }
        let key = self.address.clone().with_principal(&principal);
        let limit_exceeded = |exceeded: SubscriberLimitExceeded| {
            CloseReason::SubscriberLimitExceeded(exceeded.to_string())
        };
        self.permit.authenticate(key).map_err(limit_exceeded)?;
        self.expires_at = expiry(&principal);
        self.reset_timer();
        self.principal = Some(principal);
        Ok(())
    }

    /// Starts a session, or replaces the current one, and returns its `welcome` frame.
    async fn start_session(
        &mut self,
        request: SubscribeRequest,
    ) -> Result<Vec<Bytes>, Termination> {
        let Some(principal) = self.principal.clone() else {
            return Err(Termination::Disconnected);
        };
        let started = FeedSession::start(&self.state.feed, principal, request, self.heartbeat);
        let (session, welcome) = started.await?;
        let last_sent = match &self.phase {
            Phase::Subscribed(previous) => previous.last_sent(),
            _ => 0,
        };
        let session = session.with_last_sent(last_sent);
        self.phase = Phase::Subscribed(Box::new(session));
        Ok(vec![bytes(&welcome)])
    }

    /// Sends a heartbeat if one is due, or ends the connection if it has expired.
    fn handle_timer(&mut self) -> Result<Vec<Bytes>, Termination> {
        let now = Instant::now();
        if now >= self.expires_at {
            let why = "no token was received in time: send a subscribe frame with a token first";
            return Err(match self.principal {
                Some(_) => CloseReason::Expired.into(),
                None => CloseReason::Unauthenticated(why.into()).into(),
            });
        }
        if now < self.heartbeat_at {
            self.reset_timer();
            return Ok(Vec::new());
        }
        self.heartbeat_at = now + self.heartbeat;
        self.reset_timer();
        self.send_heartbeat()
    }

    fn reset_timer(&mut self) {
        self.timer
            .as_mut()
            .reset(self.heartbeat_at.min(self.expires_at));
    }

    /// Returns the frames of a heartbeat.
    ///
    /// # Errors
    /// [`CloseReason::TooSlow`], when the client has sent nothing for three heartbeats.
    fn send_heartbeat(&mut self) -> Result<Vec<Bytes>, Termination> {
        let Phase::Subscribed(session) = &mut self.phase else {
            return Ok(Vec::new());
        };
        if self.last_received_at.elapsed() > self.heartbeat * 3 {
            return Err(CloseReason::TooSlow(session.processed()).into());
        }
        let mut frames: Vec<Bytes> = session.heartbeat().iter().map(bytes).collect();
        // Browsers answer a ping of the websocket protocol without the page's help.
        frames.push(frame::ping());
        Ok(frames)
    }

    /// Sets the final phase and returns the last frames.
    fn terminate(&mut self, termination: Termination) -> Vec<Bytes> {
        let (phase, frames) = match termination {
            Termination::Server(reason) => {
                metrics::subscription_closed(reason.code());
                let error = frame::text(&reason.frame());
                let close = frame::close(reason.code(), &reason.message());
                let deadline = Instant::now() + CLOSE_TIMEOUT;
                (Phase::Closing(deadline), vec![error, close])
            }
            Termination::Violation(violation) => {
                let (code, why) = violation.close();
                metrics::subscription_closed(code);
                (Phase::Closed, vec![frame::close(code, why)])
            }
            Termination::Client(Some(code)) => (Phase::Closed, vec![frame::close(code, "")]),
            Termination::Client(None) => (Phase::Closed, vec![frame::close_without_reason()]),
            Termination::Disconnected => (Phase::Closed, Vec::new()),
        };
        self.phase = phase;
        frames
    }
}

fn bytes(message: &FeedMessage) -> Bytes {
    match message {
        FeedMessage::Frame(frame) => frame.rendered(rendered),
        FeedMessage::Text(text, _) => frame::text(text),
    }
}

fn rendered(frame: &Frame) -> Bytes {
    frame::text(frame.body.get())
}
