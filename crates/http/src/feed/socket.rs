//! The feed over a websocket.

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
use super::session::{FeedSession, Piece};
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

/// Bytes of the longest message that a client has reason to send: a token and filters.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;
/// Frames that it may come in.
const MAX_FRAGMENTS: u32 = 64;
/// How often a client may send messages, and control frames beside the answers to our pings.
const FRAME_RATE: Rate = Rate {
    burst: 60,
    per_second: 10,
};
/// How often a client may subscribe on one connection: each time may read from the store.
const SUBSCRIBE_RATE: Rate = Rate {
    burst: 20,
    per_second: 1,
};
/// How long a client may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// How long the other side gets to answer our close.
const GOODBYE: Duration = Duration::from_secs(1);
/// Bounds on what a client may send that is pinged this often: it answers twice, with a pong of
/// the protocol and one of ours.
fn limits(heartbeat: Duration) -> Limits {
    let beats = Duration::from_secs(1).as_millis() / heartbeat.as_millis().max(1);
    let beats = u32::try_from(beats).unwrap_or(u32::MAX);
    let rate = Rate {
        burst: FRAME_RATE.burst.saturating_add(beats),
        per_second: FRAME_RATE.per_second.saturating_add(beats),
    };
    Limits {
        max_message_bytes: MAX_MESSAGE_BYTES,
        max_fragments: MAX_FRAGMENTS,
        control_frames: rate,
        messages: rate,
    }
}

/// 400 with what is missing or wrong; 426 for another version of the protocol.
fn no_handshake(error: HandshakeError) -> Problem {
    if error == HandshakeError::Version {
        return Problem::websocket_version();
    }
    Problem::invalid(vec![InputFault {
        pointer: "/header/upgrade".into(),
        detail: format!("expected a websocket handshake (RFC 6455): {error}"),
    }])
}

/// Answers the handshake, and follows. A principal of `None` has yet to say who
/// it is.
pub(super) async fn subscribe(
    request: &HttpRequest,
    payload: web::Payload,
    place: SubscriberPermit,
    principal: Option<Principal>,
    shutdown: Shutdown,
    (state, settings, access): (
        web::Data<AppState>,
        web::Data<RequestSettings>,
        web::Data<Access>,
    ),
) -> actix_web::Result<HttpResponse> {
    let wanted =
        SubscribeRequest::parse(request.query_string(), &state.api).map_err(CloseReason::from);
    let heartbeat = settings.heartbeat;
    let upgraded = upgrade(request, payload, limits(heartbeat));
    let (response, messages) = upgraded.map_err(no_handshake)?;
    let now = Instant::now();
    let expires_at = principal.as_ref().map_or(now + INTRODUCTION, expiry);
    let beats_at = now + heartbeat;
    let socket = Socket {
        messages,
        state,
        access,
        heartbeat,
        shutdown: Box::pin(shutdown.cancelled_owned()),
        stage: Stage::Opening(Some(wanted)),
        expires_at,
        principal,
        beats_at,
        alarm: Box::pin(sleep_until(beats_at.min(expires_at))),
        heard: now,
        subscribes: TokenBucket::new(SUBSCRIBE_RATE, now.into_std()),
        outgoing: Outgoing::new(request),
        connection: request.conn_data::<Connection>().cloned(),
        address: RateLimitKey::of_request(None, request),
        feed_first: false,
        place,
    };
    let frames = stream::unfold(Box::new(socket), turn);
    let body = BodyStream::new(frames.map(Ok::<_, Infallible>));
    Ok(response.set_body(BoxBody::new(body)))
}

struct Socket {
    messages: Messages,
    state: web::Data<AppState>,
    access: web::Data<Access>,
    heartbeat: Duration,
    // These two are kept, and not made anew for each wait: with thousands of
    // subscribers, entering and leaving the lists of those who wait is what an
    // event would cost most.
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    /// For the next beat or the expiry, whichever is first.
    alarm: Pin<Box<Sleep>>,
    stage: Stage,
    /// Token expiry, or the authentication deadline if no token was received.
    expires_at: Instant,
    principal: Option<Principal>,
    beats_at: Instant,
    /// When the client was last heard of.
    heard: Instant,
    subscribes: TokenBucket,
    outgoing: Outgoing,
    connection: Option<Connection>,
    /// The client without its name.
    address: RateLimitKey,
    feed_first: bool,
    place: SubscriberPermit,
}

enum Stage {
    /// Nothing has been said yet; the query's wishes wait.
    Opening(Option<Result<SubscribeRequest, CloseReason>>),
    /// Waiting for the first frame, which says who the client is.
    Unknown,
    Following(Box<FeedSession>),
    /// We have said goodbye and wait for an answer, or until then.
    Closing(Instant),
    Closed,
}

/// What is to be sent next and has not been taken by the kernel already.
async fn turn(mut socket: Box<Socket>) -> Option<(Bytes, Box<Socket>)> {
    loop {
        if let Some(next) = socket.outgoing.next() {
            return Some((next, socket));
        }
        if matches!(socket.stage, Stage::Closed) {
            return None;
        }
        let sent = match socket.step().await {
            Ok(sent) => sent,
            Err(end) => socket.end(end),
        };
        socket.outgoing.extend(sent);
    }
}

/// Why it ends.
enum End {
    /// We end it.
    CloseReason(CloseReason),
    /// The client broke the rules of websockets.
    Violation(Violation),
    /// The client ends it, with this code if it gave one.
    Close(Option<u16>),
    /// There is nobody any more.
    Gone,
}

impl From<CloseReason> for End {
    fn from(farewell: CloseReason) -> Self {
        Self::CloseReason(farewell)
    }
}

enum Event {
    Pieces(Result<Vec<Piece>, CloseReason>),
    Message(Incoming),
    Alarm,
    Shutdown,
}

impl Socket {
    async fn step(&mut self) -> Result<Vec<Bytes>, End> {
        match &mut self.stage {
            Stage::Opening(request) => {
                let request = request.take().unwrap_or(Ok(SubscribeRequest::default()))?;
                if self.principal.is_none() {
                    self.stage = Stage::Unknown;
                    return Ok(Vec::new());
                }
                Box::pin(self.begin(request)).await
            }
            Stage::Closing(until) => {
                let until = *until;
                tokio::select! {
                    message = self.messages.next() => match message {
                        Incoming::Close(_) | Incoming::Gone | Incoming::Violation(_) => {
                            self.stage = Stage::Closed;
                        }
                        _ => {}
                    },
                    () = sleep_until(until) => self.stage = Stage::Closed,
                }
                Ok(Vec::new())
            }
            Stage::Closed => Ok(Vec::new()),
            Stage::Unknown | Stage::Following(_) => {
                let event = self.event().await;
                self.take(event).await
            }
        }
    }

    async fn event(&mut self) -> Event {
        let pieces = async {
            match &mut self.stage {
                Stage::Following(follower) => Event::Pieces(follower.next().await),
                _ => std::future::pending().await,
            }
        };
        let others = async {
            tokio::select! {
                biased;
                () = &mut self.shutdown => Event::Shutdown,
                () = &mut self.alarm => Event::Alarm,
                message = self.messages.next() => Event::Message(message),
            }
        };
        // Most often it is the feed that has woken us, and nothing else needs to
        // be looked at. Every other time it goes last, so that nothing is starved.
        self.feed_first = !self.feed_first;
        if self.feed_first {
            tokio::select! { biased; event = pieces => event, event = others => event }
        } else {
            tokio::select! { biased; event = others => event, event = pieces => event }
        }
    }

    async fn take(&mut self, event: Event) -> Result<Vec<Bytes>, End> {
        match event {
            Event::Pieces(pieces) => Ok(pieces?.iter().map(bytes).collect()),
            // Boxed: what seldom happens must not make every subscriber larger.
            Event::Message(message) => Box::pin(self.hear(message)).await,
            Event::Alarm => self.wake(),
            Event::Shutdown => Err(CloseReason::GoingAway.into()),
        }
    }

    async fn hear(&mut self, message: Incoming) -> Result<Vec<Bytes>, End> {
        self.heard = Instant::now();
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
            Incoming::Close(code) => Err(End::Close(code)),
            Incoming::Gone => Err(End::Gone),
            Incoming::Violation(violation) => Err(End::Violation(violation)),
        }
    }

    /// A frame that says who the client is, or what it wants from now on.
    async fn subscribe(&mut self, mut subscribe: Subscribe) -> Result<Vec<Bytes>, End> {
        // What it sends meanwhile can wait in the kernel's buffer.
        let _paused = self.connection.as_ref().map(Connection::pause);
        if let Some(token) = subscribe.token.take() {
            self.introduce(&token).await?;
        }
        if self.principal.is_none() {
            let why = "token: expected a bearer token";
            return Err(CloseReason::Unauthenticated(why.into()).into());
        }
        if !self.subscribes.take(std::time::Instant::now()) {
            let why = "too many subscribe frames; at most one a second on the average";
            return Err(CloseReason::BadRequest(why.into()).into());
        }
        let mut request = subscribe.request(&self.state.api)?;
        if let Stage::Following(follower) = &self.stage {
            // A connection gets no position twice. What its filter has kept from it, or what
            // was before it began, it has not had.
            let sent = follower.sent();
            if request.since.is_some_and(|since| since < sent) {
                let why = format!("since: this connection has had {sent} already; open another");
                return Err(CloseReason::BadRequest(why).into());
            }
            request.since.get_or_insert(follower.done());
        }
        self.begin(request).await
    }

    /// Believes a token, or not. On a connection that somebody has begun nobody
    /// else can go on.
    async fn introduce(&mut self, token: &str) -> Result<(), CloseReason> {
        // The issuer may be away for now; that is no reason to go for good.
        let refused = |problem: Problem| match problem.status_code() {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                CloseReason::GoingAway
            }
            StatusCode::FORBIDDEN => CloseReason::Forbidden(problem.detail().to_owned()),
            _ => CloseReason::Unauthenticated(problem.detail().to_owned()),
        };
        let verified = self.access.verify(token, &self.address).await;
        let principal = verified.map_err(refused)?;
        if !principal.may(Scope::Read) {
            let why = format!(
                "token: it lacks the scope {}",
                self.state.api.scope(Scope::Read)
            );
            return Err(CloseReason::Forbidden(why));
        }
        let is_another = |known: &Principal| known.subject() != principal.subject();
        if self.principal.as_ref().is_some_and(is_another) {
            return Err(CloseReason::Forbidden(
                "token: it is somebody else's".into(),
            ));
        }
        let caller = self.address.clone().named(&principal);
        let crowded = |crowded: SubscriberLimitExceeded| {
            CloseReason::SubscriberLimitExceeded(crowded.to_string())
        };
        self.place.taken_by(caller).map_err(crowded)?;
        self.expires_at = expiry(&principal);
        self.set_alarm();
        self.principal = Some(principal);
        Ok(())
    }

    async fn begin(&mut self, request: SubscribeRequest) -> Result<Vec<Bytes>, End> {
        let Some(principal) = self.principal.clone() else {
            return Err(End::Gone);
        };
        let begun = FeedSession::begin(&self.state.feed, principal, request, self.heartbeat);
        let (follower, welcome) = begun.await?;
        let sent = match &self.stage {
            Stage::Following(former) => former.sent(),
            _ => 0,
        };
        let follower = follower.after(sent);
        self.stage = Stage::Following(Box::new(follower));
        Ok(vec![bytes(&welcome)])
    }

    /// The time has come for a beat, or for the end.
    fn wake(&mut self) -> Result<Vec<Bytes>, End> {
        let now = Instant::now();
        if now >= self.expires_at {
            let why = "nobody has said who they are: send a subscribe frame with a token";
            return Err(match self.principal {
                Some(_) => CloseReason::Expired.into(),
                None => CloseReason::Unauthenticated(why.into()).into(),
            });
        }
        if now < self.beats_at {
            self.set_alarm();
            return Ok(Vec::new());
        }
        self.beats_at = now + self.heartbeat;
        self.set_alarm();
        self.beat()
    }

    fn set_alarm(&mut self) {
        self.alarm
            .as_mut()
            .reset(self.beats_at.min(self.expires_at));
    }

    /// Pings, and notices a client that is gone.
    fn beat(&mut self) -> Result<Vec<Bytes>, End> {
        let Stage::Following(follower) = &mut self.stage else {
            return Ok(Vec::new());
        };
        if self.heard.elapsed() > self.heartbeat * 3 {
            return Err(CloseReason::TooSlow(follower.done()).into());
        }
        let mut sent: Vec<Bytes> = follower.beat().iter().map(bytes).collect();
        // Browsers answer the protocol's own ping by themselves.
        sent.push(frame::ping());
        Ok(sent)
    }

    /// The last that is sent.
    fn end(&mut self, end: End) -> Vec<Bytes> {
        let (stage, sent) = match end {
            End::CloseReason(farewell) => {
                metrics::sent_away(farewell.code());
                let words = frame::text(&farewell.frame());
                let close = frame::close(farewell.code(), &farewell.message());
                (Stage::Closing(Instant::now() + GOODBYE), vec![words, close])
            }
            End::Violation(violation) => {
                let (code, why) = violation.close();
                metrics::sent_away(code);
                (Stage::Closed, vec![frame::close(code, why)])
            }
            End::Close(Some(code)) => (Stage::Closed, vec![frame::close(code, "")]),
            End::Close(None) => (Stage::Closed, vec![frame::close_plainly()]),
            End::Gone => (Stage::Closed, Vec::new()),
        };
        self.stage = stage;
        sent
    }
}

fn bytes(piece: &Piece) -> Bytes {
    match piece {
        Piece::Frame(frame) => frame.rendered(rendered),
        Piece::Own(text, _) => frame::text(text),
    }
}

fn rendered(frame: &Frame) -> Bytes {
    frame::text(frame.body.get())
}
