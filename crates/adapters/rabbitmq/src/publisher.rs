//! The publishing connection: one a process, rebuilt whenever it breaks.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::backoff::{Backoff, Reminder};
use bakehouse_engine::fault_injection::point;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use crate::connection::{Target, reason};
use crate::upkeep::Upkeep;

/// Type of the messages by which events-writer finds out that it has reached the end of a queue.
pub(crate) const MARKER: &str = "bakehouse.marker";
/// Body of such a message, for the earlier versions that cannot read it.
const MARKER_BODY: &[u8] =
    b"\"marker of a later events-writer that replaces this queue; harmless\"";

/// How often the connection is looked at although it said nothing.
const LOOK: Duration = Duration::from_millis(250);
/// How long a message that nobody relies on may hold up its sender.
const COURTESY: Duration = Duration::from_millis(500);
/// How often somebody who waits looks whether waiting makes sense.
const IMPATIENCE: Duration = Duration::from_millis(50);
const PERSISTENT: u8 = 2;
const BLOCKED: &str = "the broker takes no messages: it is short of memory or disk";

/// What may wait for its confirmation at once, in KiB: each message takes as many as it
/// has, and one more. Beyond that it is better to be told so than to wait.
const ROOM: u32 = 64 * 1024;
const FULL: &str = "too much waits for the broker's confirmation already";

/// Bytes of a reason: a message's header has to fit into one frame of the connection, and
/// what a parser complains of may be as long as what it was given.
const REASON: usize = 1_000;

/// Destination of a message.
enum Destination {
    /// An exchange, and a routing key.
    Exchange(String, String),
    /// The schedule queue, by the way that its form needs.
    Schedule,
}

/// Message, and its destination.
pub(crate) struct Message {
    destination: Destination,
    payload: Vec<u8>,
    properties: BasicProperties,
}

impl Message {
    /// JSON for whoever listens.
    pub(crate) fn json(exchange: String, key: String, payload: Vec<u8>) -> Self {
        Self {
            destination: Destination::Exchange(exchange, key),
            payload,
            properties: json_properties(),
        }
    }

    /// An accepted operation.
    pub(crate) fn operation(payload: Vec<u8>) -> Self {
        Self {
            destination: Destination::Schedule,
            payload,
            properties: json_properties(),
        }
    }

    /// A message that is recognised when it comes out of the queue.
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

    /// Bytes of whatever kind for one queue, as they came; why stands in the header
    /// `x-reason`.
    pub(crate) fn as_it_came(queue: String, payload: Vec<u8>, reason: &str) -> Self {
        let reason = &reason[..reason.floor_char_boundary(REASON)];
        let reason = AMQPValue::LongString(LongString::from(reason));
        let mut headers = FieldTable::default();
        headers.insert("x-reason".into(), reason);
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_headers(headers);
        Self {
            // The default exchange leads to the queue of the key's name.
            destination: Destination::Exchange(String::new(), queue),
            payload,
            properties,
        }
    }
}

fn json_properties() -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
}

/// The connection as it is now, or why there is none.
type State = Result<Live, String>;

#[derive(Clone)]
struct Live {
    connection: Arc<Connection>,
    /// Every message on it is confirmed.
    confirmed: Channel,
    /// None is.
    plain: Channel,
    /// Told by whoever waits for it in vain.
    suspicion: Arc<Notify>,
    upkeep: Arc<Upkeep>,
}

/// A handle to the publishing connection, which lives as long as any handle.
#[derive(Clone)]
pub(crate) struct Publisher {
    state: watch::Receiver<State>,
    confirm_timeout: Duration,
    room: Arc<Semaphore>,
}

impl Publisher {
    pub(crate) fn start(target: Target, confirm_timeout: Duration) -> Self {
        let (sender, state) = watch::channel(Err("not connected to the broker yet".to_owned()));
        tokio::spawn(keep_connected(target, sender));
        Self {
            state,
            confirm_timeout,
            room: Arc::new(Semaphore::new(ROOM as usize)),
        }
    }

    /// Whether a message could be published now, and if not, why.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.live()?.upkeep.check()
    }

    fn live(&self) -> Result<Live, String> {
        let live = self.state.borrow().clone()?;
        if live.connection.status().blocked() {
            return Err(BLOCKED.into());
        }
        Ok(live)
    }

    /// Publishes a message and waits until the broker has it on disk, in a queue.
    pub(crate) async fn publish_durably(&self, message: Message) -> Result<(), String> {
        let live = self.live()?;
        // What is larger than all of it goes alone.
        let size = u32::try_from(message.payload.len() / 1024 + 1).unwrap_or(ROOM);
        let room = self.room.clone().try_acquire_many_owned(size.min(ROOM));
        let room = room.map_err(|_| FULL)?;
        // In a task of its own: whoever waits may go away, but a confirmation
        // that nobody awaits would stay in the channel's books for ever.
        let delivering = live.clone();
        let mut confirming = tokio::spawn(async move {
            let confirmed = delivering.deliver(&message).await;
            drop(room);
            confirmed
        });
        let deadline = Instant::now() + self.confirm_timeout;
        loop {
            let look = deadline.min(Instant::now() + IMPATIENCE);
            tokio::select! {
                outcome = &mut confirming => {
                    return outcome.unwrap_or_else(|panicked| Err(panicked.to_string()));
                }
                () = tokio::time::sleep_until(look) => {}
            }
            // A broker says that it is blocked when somebody publishes, not before.
            if live.connection.status().blocked() {
                return Err(BLOCKED.into());
            }
            if Instant::now() >= deadline {
                live.suspicion.notify_one();
                let seconds = self.confirm_timeout.as_secs_f64();
                return Err(format!("the broker has not confirmed within {seconds} s"));
            }
        }
    }

    /// Publishes a message if that can be done now.
    pub(crate) async fn publish_if_possible(&self, message: Message) {
        let Ok(live) = self.live() else { return };
        let publishing = live.publish(&live.plain, &message, false);
        let _ = tokio::time::timeout(COURTESY, publishing).await;
    }
}

/// Answer of the broker to a message.
enum Outcome {
    /// It is in the queue, on disk.
    Stored,
    /// There is no queue for it.
    Unroutable,
    /// The queue takes no more.
    Refused,
}

impl Live {
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

    /// Only an empty acknowledgement says that the message is in a queue: one with
    /// the message in it says that no queue wanted it.
    async fn confirm(&self, message: &Message) -> Result<Outcome, String> {
        let confirming = self.publish(&self.confirmed, message, true);
        let confirming = confirming.await.map_err(reason)?;
        point("rabbitmq.published");
        match confirming.await.map_err(reason)? {
            Confirmation::Ack(None) => {
                point("rabbitmq.confirmed");
                Ok(Outcome::Stored)
            }
            Confirmation::Ack(Some(_)) => Ok(Outcome::Unroutable),
            Confirmation::Nack(_) => Ok(Outcome::Refused),
            Confirmation::NotRequested => Err("the channel does not confirm".into()),
        }
    }

    /// Publishes a message until it is in a queue; where there is none, the exchanges and
    /// queues are declared again first, once.
    async fn deliver(&self, message: &Message) -> Result<(), String> {
        let began = Instant::now();
        let mut outcome = self.confirm(message).await?;
        if matches!(outcome, Outcome::Unroutable) {
            tracing::warn!("the broker returned a message: no queue is there for it");
            self.upkeep.declare(&self.connection, began).await?;
            outcome = self.confirm(message).await?;
        }
        match outcome {
            Outcome::Stored => {
                if matches!(message.destination, Destination::Schedule) {
                    self.upkeep.note_taken();
                }
                Ok(())
            }
            Outcome::Unroutable => Err("the broker has no queue for the message".into()),
            Outcome::Refused => match message.destination {
                Destination::Schedule => Err(self.upkeep.note_refused()),
                Destination::Exchange(..) => Err("the broker refused the message".into()),
            },
        }
    }
}

/// Connects, waits until the connection is of no use any more, and starts over;
/// until nobody wants it.
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
                broken(&live, &state).await;
                let _ = state.send_replace(Err("the connection to the broker is lost".into()));
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
    let plain = connection.create_channel().await.map_err(reason)?;
    Ok(Live {
        connection: Arc::new(connection),
        confirmed,
        plain,
        suspicion: Arc::default(),
        upkeep: Arc::new(Upkeep::new(target.clone(), form)),
    })
}

/// Looks after the connection until it is of no use any more.
async fn broken(live: &Live, state: &watch::Sender<State>) {
    let mut next_check = Instant::now() + live.upkeep.interval();
    while live.connection.status().connected()
        && live.confirmed.status().connected()
        && live.plain.status().connected()
    {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = state.closed() => return,
            () = live.suspicion.notified() => return,
        }
        // A blocked broker answers nothing here, declarations least of all.
        let is_due = Instant::now() >= next_check && !live.connection.status().blocked();
        if is_due {
            if let Err(error) = live.upkeep.declare(&live.connection, Instant::now()).await {
                tracing::warn!("the broker's exchanges and queues are not as needed: {error}");
            }
            // Connecting again succeeds once the queue is ours.
            if live.upkeep.is_taken() {
                return;
            }
            next_check = Instant::now() + live.upkeep.interval();
        }
    }
}
