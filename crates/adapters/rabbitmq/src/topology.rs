//! Exchanges and queues. Declared by every service each time it connects, and again at
//! intervals, so that none has to be started first, and none of them by hand.
//!
//! The schedule queue's arguments protect what was accepted from the broker's policies
//! (`docs/adr/0018-broker-policies.md`):
//!
//! - `x-overflow=reject-publish`: a full queue refuses new messages instead of dropping old
//!   ones;
//! - `x-dead-letter-exchange`: what a policy expires or drops all the same goes to the dead
//!   letters, from where events-writer takes it back. They are kept twice: in a quorum queue,
//!   and in a stream, which no policy on age or length of messages touches;
//! - `x-delivery-limit`: nothing is dropped for having been delivered too often.
//!
//! Arguments of an existing queue cannot be changed: one in an earlier form is replaced by
//! events-writer (`migration`).

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind, Queue};

use crate::connection::{Target, reason};

/// Exchange of accepted operations from other programs, and of hints that they have been stored.
const SCHEDULER: &str = "platform-events-scheduler";
/// Exchange of what has been executed.
const SOURCE: &str = "data-source";
/// Exchange of what has been baked.
const SOCKET: &str = "orders-socket";
/// Exchange of what the broker removes from the schedule queue.
const DEAD_LETTERS: &str = "platform-events-dead-letters";
/// Queue of accepted operations, and their routing key.
pub(crate) const SCHEDULE: &str = "platform-event.schedule";
/// Queue that takes the schedule queue's place while that is replaced.
const MOVING: &str = "platform-event.schedule.moving";
/// Queue of messages that events-writer cannot read.
const PARKED: &str = "platform-event.parked";
/// Queue of dead letters, consumed by events-writer.
const DEAD_LETTER_QUEUE: &str = "platform-event.dead-letters";
/// Stream of dead letters and of unreadable messages.
const DEAD_LETTER_STREAM: &str = "platform-event.dead-letters.stream";

/// Reply code of a queue or exchange that does not exist.
const NOT_FOUND: u16 = 404;
/// Reply code of a queue that is exclusive to another connection.
const RESOURCE_LOCKED: u16 = 405;
/// Reply code of a queue that exists with other arguments.
const PRECONDITION_FAILED: u16 = 406;

/// As good as no limit: what has been accepted is never dropped for having been
/// delivered too often. Brokers from 4.0 on have a limit of 20 unless told
/// otherwise. Their word for "none", -1, is fatal elsewhere: 3.10.8 takes it
/// without complaint and then drops every message that is delivered again.
const DELIVERIES: (&str, AMQPValue) = ("x-delivery-limit", AMQPValue::LongInt(i32::MAX));

/// Form in which the schedule queue exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// With the arguments of this version.
    Current,
    /// With others: declared by an earlier version, and not replaced yet.
    Earlier,
    /// Exclusive queue of a stranger's connection, which takes what is published to it and ends
    /// with it.
    Taken,
}

/// Explanation of [`Form::Taken`].
pub(crate) const TAKEN: &str = "broker: the schedule queue's name is taken by an exclusive queue of another \
                                connection; nothing is published to it";

impl Target {
    pub(crate) fn scheduler_exchange(&self) -> String {
        self.named(SCHEDULER)
    }

    pub(crate) fn source_exchange(&self) -> String {
        self.named(SOURCE)
    }

    pub(crate) fn socket_exchange(&self) -> String {
        self.named(SOCKET)
    }

    pub(crate) fn schedule_queue(&self) -> String {
        self.named(SCHEDULE)
    }

    pub(crate) fn moving_queue(&self) -> String {
        self.named(MOVING)
    }

    pub(crate) fn parked_queue(&self) -> String {
        self.named(PARKED)
    }

    pub(crate) fn dead_letter_queue(&self) -> String {
        self.named(DEAD_LETTER_QUEUE)
    }

    pub(crate) fn dead_letter_stream(&self) -> String {
        self.named(DEAD_LETTER_STREAM)
    }

    pub(crate) fn dead_letter_exchange(&self) -> String {
        self.named(DEAD_LETTERS)
    }

    /// Routing key of hints that the log has grown.
    pub(crate) fn stored_key(&self) -> String {
        format!("platform-event.created.{}", self.domain)
    }

    /// Routing key of frames.
    pub(crate) fn baked_key(&self) -> String {
        format!("{}.baked", self.domain)
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Declares everything that is durable, and says in which form the schedule queue is there.
    pub(crate) async fn declare(&self, connection: &Connection) -> Result<Form, String> {
        let channel = connection.create_channel().await.map_err(reason)?;
        self.declare_around(&channel).await.map_err(reason)?;
        if let Err(error) = self.declare_stream(connection).await {
            tracing::debug!("without the stream of dead letters: {error}");
        }
        let form = self.declare_schedule(connection).await?;
        if form == Form::Taken {
            return Ok(form);
        }
        // While the queue is replaced its place at the exchange is taken.
        if form == Form::Current || find(connection, &self.moving_queue()).await?.is_none() {
            let queue = self.schedule_queue();
            self.bind(&channel, &queue).await.map_err(reason)?;
        }
        let _ = channel.close(200, "done".into()).await;
        Ok(form)
    }

    /// Declares everything but the schedule queue.
    async fn declare_around(&self, channel: &Channel) -> lapin::Result<()> {
        for exchange in [
            self.scheduler_exchange(),
            self.source_exchange(),
            self.socket_exchange(),
        ] {
            declare_exchange(channel, exchange, ExchangeKind::Topic).await?;
        }
        let dead_letters = self.dead_letter_exchange();
        declare_exchange(channel, dead_letters.clone(), ExchangeKind::Fanout).await?;
        declare_queue(channel, self.parked_queue(), quorum()).await?;
        declare_queue(channel, self.dead_letter_queue(), quorum()).await?;
        bind(channel, &self.dead_letter_queue(), &dead_letters, "").await
    }

    /// Declares the stream of dead letters, on a channel of its own: a refusal closes it.
    ///
    /// # Errors
    /// Where the broker has no streams, or not now. Everything but the dead letters' second copy
    /// works without.
    pub(crate) async fn declare_stream(&self, connection: &Connection) -> Result<(), String> {
        let channel = connection.create_channel().await.map_err(reason)?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("stream"));
        let stream = self.dead_letter_stream();
        let declared = declare_queue(&channel, stream.clone(), arguments).await;
        declared.map_err(reason)?;
        let bound = bind(&channel, &stream, &self.dead_letter_exchange(), "").await;
        bound.map_err(reason)?;
        let _ = channel.close(200, "done".into()).await;
        Ok(())
    }

    /// Declares the schedule queue, on a channel of its own: a refusal closes it.
    pub(crate) async fn declare_schedule(&self, connection: &Connection) -> Result<Form, String> {
        let channel = connection.create_channel().await.map_err(reason)?;
        let declared = declare_queue(&channel, self.schedule_queue(), self.schedule_arguments());
        match declared.await {
            Ok(()) => {
                let _ = channel.close(200, "done".into()).await;
                Ok(Form::Current)
            }
            Err(error) => match reply_code(&error) {
                Some(PRECONDITION_FAILED) => Ok(Form::Earlier),
                Some(RESOURCE_LOCKED) => Ok(Form::Taken),
                _ => Err(reason(error)),
            },
        }
    }

    /// Arguments of the schedule queue. With one active consumer at a time, several writers
    /// keep the queue's order.
    pub(crate) fn schedule_arguments(&self) -> FieldTable {
        let mut arguments = quorum();
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        let dead_letters = self.dead_letter_exchange();
        arguments.insert("x-dead-letter-exchange".into(), text(&dead_letters));
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        arguments
    }

    /// Binds a queue for operations that are published to the exchange.
    pub(crate) async fn bind(&self, channel: &Channel, queue: &str) -> lapin::Result<()> {
        bind(channel, queue, &self.scheduler_exchange(), SCHEDULE).await
    }

    /// Takes back [`Target::bind`].
    pub(crate) async fn unbind(&self, channel: &Channel, queue: &str) -> lapin::Result<()> {
        let exchange = self.scheduler_exchange();
        let none = FieldTable::default();
        channel
            .queue_unbind(queue.into(), exchange.into(), SCHEDULE.into(), none)
            .await
    }
}

/// Number of messages ready in a queue; `None` where there is no such queue.
pub(crate) async fn find(connection: &Connection, queue: &str) -> Result<Option<u32>, String> {
    let channel = connection.create_channel().await.map_err(reason)?;
    match ask(&channel, queue).await {
        Ok(queue) => {
            let _ = channel.close(200, "done".into()).await;
            Ok(Some(queue.message_count()))
        }
        Err(error) if reply_code(&error) == Some(NOT_FOUND) => Ok(None),
        Err(error) => Err(reason(error)),
    }
}

/// Asks whether a queue is there, and what is in it, without declaring it.
pub(crate) async fn ask(channel: &Channel, queue: &str) -> lapin::Result<Queue> {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::durable()
    };
    channel
        .queue_declare(queue.into(), passive, FieldTable::default())
        .await
}

fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

async fn declare_exchange(
    channel: &Channel,
    name: String,
    kind: ExchangeKind,
) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(name.into(), kind, options, FieldTable::default())
        .await
}

pub(crate) async fn declare_queue(
    channel: &Channel,
    name: String,
    arguments: FieldTable,
) -> lapin::Result<()> {
    let options = QueueDeclareOptions::durable();
    channel
        .queue_declare(name.into(), options, arguments)
        .await
        .map(|_| ())
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    channel
        .queue_bind(queue.into(), exchange.into(), key.into(), options, none)
        .await
}

fn quorum() -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert(DELIVERIES.0.into(), DELIVERIES.1);
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}
