//! One subscriber's socket.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, Session};
use bakehouse_pipeline::feed::{Feed, FeedError, Step, Subscription};
use bakehouse_pipeline::{Frame, Position, Shutdown, Timestamp};
use futures_util::StreamExt;
use tokio::time::{Instant, Interval};

use super::query::Wishes;
use super::wire::{self, ClientFrame, Farewell};
use crate::access::Principal;
use crate::problem::Problem;
use crate::server::{Doors, Settings};

/// How long one frame may take to be taken off our hands.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest message that a client has reason to send.
const LONGEST_MESSAGE: usize = 4 * 1024;

/// `GET /order-events`.
pub(crate) async fn subscribe(
    request: HttpRequest,
    payload: web::Payload,
    principal: Principal,
    doors: web::Data<Doors>,
    settings: web::Data<Settings>,
    shutdown: web::Data<Shutdown>,
) -> actix_web::Result<HttpResponse> {
    if doors.feed.epoch().is_none() {
        return Err(Problem::unavailable("the feed is not available yet").into());
    }
    let wishes = Wishes::parse(request.query_string());
    let (response, session, messages) = actix_ws::handle(&request, payload)?;
    let messages = messages
        .max_frame_size(LONGEST_MESSAGE)
        .aggregate_continuations()
        .max_continuation_size(LONGEST_MESSAGE);
    let (feed, heartbeat) = (doors.feed.clone(), settings.heartbeat);
    let shutdown = shutdown.as_ref().clone();
    actix_web::rt::spawn(async move {
        let mut socket = Socket::new(session, messages, principal, heartbeat, shutdown);
        let farewell = socket.run(&feed, wishes).await;
        socket.close(&farewell).await;
    });
    Ok(response)
}

struct Socket {
    session: Session,
    messages: AggregatedMessageStream,
    principal: Principal,
    heartbeat: Duration,
    shutdown: Shutdown,
    /// When the client was last heard of.
    heard: Instant,
    /// The last position that has been sent, or that the client does not want.
    done: Position,
    /// The last position that the client has been told of.
    told: Position,
}

impl Socket {
    fn new(
        session: Session,
        messages: AggregatedMessageStream,
        principal: Principal,
        heartbeat: Duration,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            session,
            messages,
            principal,
            heartbeat,
            shutdown,
            heard: Instant::now(),
            done: 0,
            told: 0,
        }
    }

    async fn run(
        &mut self,
        feed: &std::sync::Arc<Feed>,
        wishes: Result<Wishes, String>,
    ) -> Farewell {
        let wishes = match wishes {
            Ok(wishes) => wishes,
            Err(message) => return Farewell::BadRequest(message),
        };
        let mut subscription = match feed.subscribe(wishes.since, wishes.epoch.as_deref()) {
            Ok(subscription) => subscription,
            Err(error) => return Farewell::NotAvailable(error.to_string()),
        };
        let epoch = feed.epoch().unwrap_or_default();
        let head = feed.head_position();
        let welcome = wire::welcome(epoch, head, self.heartbeat.as_secs());
        self.done = subscription.cursor();
        self.told = self.done;
        if let Err(farewell) = self.send(welcome).await {
            return farewell;
        }
        self.follow(&mut subscription, &wishes).await
    }

    async fn follow(&mut self, subscription: &mut Subscription, wishes: &Wishes) -> Farewell {
        let mut beat = tokio::time::interval_at(Instant::now() + self.heartbeat, self.heartbeat);
        let expiry = expiry(self.principal.expires_at());
        tokio::pin!(expiry);
        loop {
            let event = tokio::select! {
                event = self.next(subscription, &mut beat) => event,
                () = &mut expiry => return Farewell::Expired,
            };
            let done = match event {
                Event::Step(Ok(step)) => self.step(step, wishes).await,
                Event::Step(Err(error)) => Err(farewell(&error)),
                Event::Beat => self.beat().await,
                Event::Message(message) => self.take(message).await,
                Event::Shutdown => Err(Farewell::GoingAway),
            };
            if let Err(farewell) = done {
                return farewell;
            }
        }
    }

    async fn next(&mut self, subscription: &mut Subscription, beat: &mut Interval) -> Event {
        tokio::select! {
            step = subscription.next() => Event::Step(step),
            _ = beat.tick() => Event::Beat,
            message = self.messages.next() => Event::Message(message),
            () = self.shutdown.cancelled() => Event::Shutdown,
        }
    }

    async fn step(&mut self, step: Step, wishes: &Wishes) -> Result<(), Farewell> {
        let frames = match step {
            Step::Live(position) => return self.send(wire::live(position)).await,
            Step::Frames(frames) => frames,
        };
        for frame in frames {
            if self.principal.sees(frame.owner.as_deref()) && wishes.include(&frame) {
                self.send(text(&frame)).await?;
                self.told = frame.position;
            }
            self.done = frame.position;
        }
        Ok(())
    }

    /// Pings, lets a filtered client move on, and notices one that is gone.
    async fn beat(&mut self) -> Result<(), Farewell> {
        if self.heard.elapsed() > self.heartbeat * 3 {
            return Err(Farewell::TooSlow(self.done));
        }
        if self.told < self.done {
            self.told = self.done;
            self.send(wire::position(self.told)).await?;
        }
        // Browsers answer the protocol's own ping by themselves.
        self.session.ping(b"").await.map_err(|_| Farewell::Gone)?;
        self.send(wire::ping()).await
    }

    async fn take(
        &mut self,
        message: Option<Result<AggregatedMessage, actix_ws::ProtocolError>>,
    ) -> Result<(), Farewell> {
        self.heard = Instant::now();
        match message {
            Some(Ok(AggregatedMessage::Ping(bytes))) => {
                self.session.pong(&bytes).await.map_err(|_| Farewell::Gone)
            }
            Some(Ok(AggregatedMessage::Pong(_))) => Ok(()),
            Some(Ok(AggregatedMessage::Text(text))) => understand(&text),
            Some(Ok(AggregatedMessage::Binary(_))) => {
                Err(Farewell::BadRequest("expected text frames".into()))
            }
            Some(Ok(AggregatedMessage::Close(_))) | None => Err(Farewell::Gone),
            Some(Err(error)) => Err(Farewell::BadRequest(error.to_string())),
        }
    }

    async fn send(&mut self, text: String) -> Result<(), Farewell> {
        let sent = tokio::time::timeout(PATIENCE, self.session.text(text)).await;
        match sent {
            Ok(sent) => sent.map_err(|_| Farewell::Gone),
            Err(_) => Err(Farewell::TooSlow(self.done)),
        }
    }

    /// Says why, unless nobody is listening any more, and closes.
    async fn close(mut self, farewell: &Farewell) {
        let say = async {
            if *farewell != Farewell::Gone {
                let _ = self.session.text(farewell.frame()).await;
            }
            let _ = self.session.close(Some(farewell.reason())).await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), say).await;
    }
}

enum Event {
    Step(Result<Step, FeedError>),
    Beat,
    Message(Option<Result<AggregatedMessage, actix_ws::ProtocolError>>),
    Shutdown,
}

/// Ends when the token does; never, where there is none.
async fn expiry(time: Option<Timestamp>) {
    let Some(time) = time else {
        return std::future::pending().await;
    };
    let left = time.millis().saturating_sub(Timestamp::now().millis());
    let left = Duration::from_millis(left.try_into().unwrap_or_default());
    tokio::time::sleep(left).await;
}

fn text(frame: &Frame) -> String {
    frame.body.get().to_owned()
}

fn understand(text: &str) -> Result<(), Farewell> {
    match serde_json::from_str(text) {
        Ok(ClientFrame::Pong) => Ok(()),
        Err(error) => Err(Farewell::BadRequest(format!(
            "this frame is not known: {error}"
        ))),
    }
}

fn farewell(error: &FeedError) -> Farewell {
    match error {
        FeedError::TooSlow { cursor } => Farewell::TooSlow(*cursor),
        FeedError::Unavailable | FeedError::Store(_) => Farewell::GoingAway,
        FeedError::OtherEpoch | FeedError::Ahead { .. } => {
            Farewell::NotAvailable(error.to_string())
        }
    }
}
