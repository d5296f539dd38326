//! Publishing connection: one per process, opened again whenever it breaks.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::backoff::{Backoff, Reminder};
use bakehouse_engine::fault_injection::failpoint;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use crate::connection::{Target, reason};
use crate::upkeep::Upkeep;

/// Type of the messages that show events-writer that it has reached the end of a queue.
pub(crate) const MARKER: &str = "bakehouse.marker";
/// Body of a marker, for earlier versions, which park it as unreadable.
const MARKER_BODY: &[u8] =
    b"\"marker of a later events-writer that replaces this queue; harmless\"";

/// Interval at which the state of the connection is checked.
const CONNECTION_POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Timeout for publishing an unconfirmed message such as a notice.
const UNCONFIRMED_TIMEOUT: Duration = Duration::from_millis(500);
/// Interval at which a pending publish re-checks whether the broker is blocked.
const BLOCKED_POLL_INTERVAL: Duration = Duration::from_millis(50);
const DELIVERY_MODE_PERSISTENT: u8 = 2;
const BLOCKED: &str = "broker: blocked; it is short of memory or disk";

/// Size of all messages that wait for their confirmation at most, in KiB; each message counts its
/// size rounded up. Beyond that, publishing fails at once.
const MAX_PENDING_KIB: u32 = 64 * 1024;
const TOO_MANY_PENDING: &str = "broker: too many messages wait for a confirmation; retry later";

/// Size in bytes of the reason in a message's header at most. Headers have to fit into one frame,
/// and a parser's error may be as long as its input.
const MAX_REASON_BYTES: usize = 1_000;

/// Destination of a message.
enum Destination {
    /// An exchange, and a routing key.
    Exchange(String, String),
    /// The schedule queue, by the route that its form requires.
    Schedule,
}

/// Message, and its destination.
pub(crate) struct Message {
    destination: Destination,
    payload: Vec<u8>,
    properties: BasicProperties,
}

impl Message {
    /// Creates a JSON message for the receivers at an exchange.
    pub(crate) fn json(exchange: String, key: String, payload: Vec<u8>) -> Self {
        Self {
            destination: Destination::Exchange(exchange, key),
            payload,
            properties: json_properties(),
        }
    }

    /// Creates the message of an accepted operation.
    pub(crate) fn operation(payload: Vec<u8>) -> Self {
        Self {
            destination: Destination::Schedule,
            payload,
            properties: json_properties(),
        }
    }

    /// Creates a marker: a message that is recognised when it is received from the queue.
    pub(crate) fn marker(queue: String, id: &str) -> Self {
        let properties = json_properties()
            .with_type(MARKER.into())
            .with_message_id(id.into());
        Self {
            destination: Destination::Exchange(String::new(), queue),
            payload: MARKER_BODY.to_vec(),
            properties,
        }
    }

    /// Creates a message with unchanged bytes for one queue, and the reason in the header
    /// `x-reason`.
    pub(crate) fn raw(queue: String, payload: Vec<u8>, reason: &str) -> Self {
        let reason = &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)];
        let reason = AMQPValue::LongString(LongString::from(reason));
        let mut headers = FieldTable::default();
        headers.insert("x-reason".into(), reason);
        let properties = BasicProperties::default()
            .with_delivery_mode(DELIVERY_MODE_PERSISTENT)
            .with_headers(headers);
        Self {
            // The default exchange routes to the queue of the key's name.
            destination: Destination::Exchange(String::new(), queue),
            payload,
            properties,
        }
    }
}

fn json_properties() -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(DELIVERY_MODE_PERSISTENT)
        .with_content_type("application/json".into())
}

/// Current connection, or the reason why there is none.
type State = Result<LiveConnection, String>;

/// Open connection with its channels.
#[derive(Clone)]
struct LiveConnection {
    connection: Arc<Connection>,
    /// Channel with confirmations.
    confirmed: Channel,
    /// Channel without confirmations.
    unconfirmed: Channel,
    /// Notified when a confirmation has timed out.
    confirm_timed_out: Arc<Notify>,
    upkeep: Arc<Upkeep>,
}

/// Handle to the publishing connection, which is closed with its last handle.
#[derive(Clone)]
pub(crate) struct Publisher {
    state: watch::Receiver<State>,
    confirm_timeout: Duration,
    /// Budget of pending messages, in KiB.
    pending: Arc<Semaphore>,
}

impl Publisher {
    pub(crate) fn start(target: Target, confirm_timeout: Duration) -> Self {
        let (sender, state) = watch::channel(Err("broker: not connected yet".to_owned()));
        tokio::spawn(keep_connected(target, sender));
        Self {
            state,
            confirm_timeout,
            pending: Arc::new(Semaphore::new(MAX_PENDING_KIB as usize)),
        }
    }

    /// Checks whether an operation could be published now.
    ///
    /// # Errors
    /// A text for an operator.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.live()?.upkeep.check()
    }

    fn live(&self) -> Result<LiveConnection, String> {
        let live = self.state.borrow().clone()?;
        if live.connection.status().blocked() {
            return Err(BLOCKED.into());
        }
        Ok(live)
    }

    /// Publishes a message, and waits for the confirmation that it is in a queue, on disk.
    ///
    /// # Errors
    /// A text for an operator; the message may be in the queue nevertheless.
    pub(crate) async fn publish_durably(&self, message: Message) -> Result<(), String> {
        let live = self.live()?;
        // A message larger than the whole budget takes all of it.
        let size = u32::try_from(message.payload.len() / 1024 + 1).unwrap_or(MAX_PENDING_KIB);
        let size = size.min(MAX_PENDING_KIB);
        let permit = self.pending.clone().try_acquire_many_owned(size);
        let permit = permit.map_err(|_| TOO_MANY_PENDING)?;
        // In a task of its own: the caller may drop the future, but a confirmation that is not
        // awaited would never be removed from the channel.
        let delivering = live.clone();
        let mut confirming = tokio::spawn(async move {
            let confirmed = delivering.deliver(&message).await;
            drop(permit);
            confirmed
        });
        let deadline = Instant::now() + self.confirm_timeout;
        loop {
            let next_check = deadline.min(Instant::now() + BLOCKED_POLL_INTERVAL);
            tokio::select! {
                outcome = &mut confirming => {
                    return outcome.unwrap_or_else(|panicked| Err(panicked.to_string()));
                }
                () = tokio::time::sleep_until(next_check) => {}
            }
            // A broker reports that it is blocked only once something is published.
            if live.connection.status().blocked() {
                return Err(BLOCKED.into());
            }
            if Instant::now() >= deadline {
                live.confirm_timed_out.notify_one();
                let seconds = self.confirm_timeout.as_secs_f64();
                return Err(format!("broker: no confirmation within {seconds} s"));
            }
        }
    }

    /// Publishes a message without confirmation, and drops it if there is no connection.
    pub(crate) async fn publish_if_possible(&self, message: Message) {
        let Ok(live) = self.live() else { return };
        let publishing = live.publish(&live.unconfirmed, &message, false);
        let _ = tokio::time::timeout(UNCONFIRMED_TIMEOUT, publishing).await;
    }
}

/// Answer of the broker to a message.
enum Outcome {
    /// The message is in the queue, on disk.
    Stored,
    /// No queue is bound for the message.
    Unroutable,
    /// The queue refused the message.
    Refused,
}

impl LiveConnection {
    async fn publish(
        &self,
        channel: &Channel,
        message: &Message,
        mandatory: bool,
    ) -> lapin::Result<PublisherConfirm> {
        let options = BasicPublishOptions {
            mandatory,
            ..BasicPublishOptions::default()
        };
        let (exchange, key) = match &message.destination {
            Destination::Exchange(exchange, key) => (exchange.clone(), key.clone()),
            Destination::Schedule => self.upkeep.route(),
        };
        let (exchange, key) = (exchange.into(), key.into());
        let properties = message.properties.clone();
        channel
            .basic_publish(exchange, key, options, &message.payload, properties)
            .await
    }

    /// Publishes a message, and waits for the answer. An acknowledgement means that the message is
    /// in a queue only if it is empty; otherwise it contains the returned message.
    async fn confirm(&self, message: &Message) -> Result<Outcome, String> {
        let confirming = self.publish(&self.confirmed, message, true);
        let confirming = confirming.await.map_err(reason)?;
        failpoint("rabbitmq.published");
        match confirming.await.map_err(reason)? {
            Confirmation::Ack(None) => {
                failpoint("rabbitmq.confirmed");
                Ok(Outcome::Stored)
            }
            Confirmation::Ack(Some(_)) => Ok(Outcome::Unroutable),
            Confirmation::Nack(_) => Ok(Outcome::Refused),
            Confirmation::NotRequested => Err("broker: confirmations are not enabled".into()),
        }
    }

    /// Publishes a message. If no queue is bound for it, declares the exchanges and queues again
    /// and retries once.
    async fn deliver(&self, message: &Message) -> Result<(), String> {
        let began = Instant::now();
        let mut outcome = self.confirm(message).await?;
        if matches!(outcome, Outcome::Unroutable) {
            tracing::warn!(
                "message returned: no queue is bound for it; declaring the queues again"
            );
            self.upkeep.declare(&self.connection, began).await?;
            outcome = self.confirm(message).await?;
        }
        match outcome {
            Outcome::Stored => {
                if matches!(message.destination, Destination::Schedule) {
                    self.upkeep.note_accepted();
                }
                Ok(())
            }
            Outcome::Unroutable => Err("broker: no queue for the message".into()),
            Outcome::Refused => match message.destination {
                Destination::Schedule => Err(self.upkeep.note_refused()),
                Destination::Exchange(..) => Err("broker: message refused".into()),
            },
        }
    }
}

/// Connects, and again whenever the connection breaks, until the last handle is dropped.
async fn keep_connected(target: Target, state: watch::Sender<State>) {
    let mut backoff = Backoff::default();
    let mut reminder = Reminder::default();
    while !state.is_closed() {
        match open(&target).await {
            Ok(live) => {
                tracing::info!("connected to the broker");
                backoff.reset();
                reminder = Reminder::default();
                let _ = state.send_replace(Ok(live.clone()));
                maintain(&live, &state).await;
                let _ = state.send_replace(Err("broker: connection lost".into()));
            }
            Err(error) => {
                if reminder.is_due() {
                    tracing::warn!("waiting for the broker: {error}");
                }
                let _ = state.send_replace(Err(error));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.step()) => {}
            () = state.closed() => {}
        }
    }
}

async fn open(target: &Target) -> State {
    let (connection, form) = target.connect("publishing").await?;
    let confirmed = connection.create_channel().await.map_err(reason)?;
    confirmed
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .map_err(reason)?;
    let unconfirmed = connection.create_channel().await.map_err(reason)?;
    Ok(LiveConnection {
        connection: Arc::new(connection),
        confirmed,
        unconfirmed,
        confirm_timed_out: Arc::default(),
        upkeep: Arc::new(Upkeep::new(target.clone(), form)),
    })
}

/// Maintains exchanges and queues until the connection breaks or must be replaced.
async fn maintain(live: &LiveConnection, state: &watch::Sender<State>) {
    let mut next_check = Instant::now() + live.upkeep.interval();
    while live.connection.status().connected()
        && live.confirmed.status().connected()
        && live.unconfirmed.status().connected()
    {
        tokio::select! {
            () = tokio::time::sleep(CONNECTION_POLL_INTERVAL) => {}
            () = state.closed() => return,
            () = live.confirm_timed_out.notified() => return,
        }
        // A blocked broker does not answer declarations.
        let is_due = Instant::now() >= next_check && !live.connection.status().blocked();
        if is_due {
            if let Err(error) = live.upkeep.declare(&live.connection, Instant::now()).await {
                tracing::warn!("cannot declare the broker's exchanges and queues: {error}");
            }
            // Reconnecting succeeds once the name is free.
            if live.upkeep.is_taken() {
                return;
            }
            next_check = Instant::now() + live.upkeep.interval();
        }
    }
}
