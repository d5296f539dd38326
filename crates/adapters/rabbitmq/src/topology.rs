//! Exchanges and queues. Every service declares them each time it connects, and again at intervals,
//! so that services can start in any order and nothing is declared by hand.
//!
//! The schedule queue's arguments protect accepted operations from the broker's policies
//! (`docs/adr/0018-broker-policies.md`):
//!
//! - `x-overflow=reject-publish`: a full queue refuses new messages instead of dropping old ones;
//! - `x-dead-letter-exchange`: messages that a policy expires or drops nevertheless become dead
//!   letters, which events-writer consumes. They are kept twice: in a quorum queue, and in a
//!   stream, to which policies on age or length of messages do not apply;
//! - `x-delivery-limit`: no message is dropped for having been delivered too often.
//!
//! The arguments of an existing queue cannot be changed: events-writer replaces a queue of an
//! earlier version (`migration`).

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind, Queue};

use crate::connection::{Target, reason};

/// Exchange of accepted operations from other programs, and of notices that they have been stored.
const SCHEDULER: &str = "platform-events-scheduler";
/// Exchange of notices of executed operations.
const SOURCE: &str = "data-source";
/// Exchange of baked frames.
const SOCKET: &str = "orders-socket";
/// Exchange of dead letters: messages that the broker removes from the schedule queue.
const DEAD_LETTERS: &str = "platform-events-dead-letters";
/// Queue of accepted operations; its name is their routing key as well.
pub(crate) const SCHEDULE: &str = "platform-event.schedule";
/// Queue that stands in for the schedule queue during a migration.
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

/// Delivery limit so high that no operation is dropped for having been delivered too often. Brokers
/// from 4.0 on have a default of 20. Their value for "no limit", -1, loses messages elsewhere:
/// 3.10.8 accepts it, and then drops every message that is delivered again.
const DELIVERY_LIMIT: (&str, AMQPValue) = ("x-delivery-limit", AMQPValue::LongInt(i32::MAX));

/// Form of the existing schedule queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Declared with the arguments of this version.
    Current,
    /// Declared with other arguments by an earlier version, and not replaced yet.
    Earlier,
    /// Exclusive queue of another program's connection: messages published to it would be lost.
    Taken,
}

/// Text about [`Form::Taken`], for an operator.
pub(crate) const NAME_TAKEN: &str = "broker: the schedule queue's name is taken by an exclusive queue \
                                     of another connection; close that connection";

impl Target {
    pub(crate) fn scheduler_exchange(&self) -> String {
        self.prefixed(SCHEDULER)
    }

    pub(crate) fn source_exchange(&self) -> String {
        self.prefixed(SOURCE)
    }

    pub(crate) fn socket_exchange(&self) -> String {
        self.prefixed(SOCKET)
    }

    pub(crate) fn schedule_queue(&self) -> String {
        self.prefixed(SCHEDULE)
    }

    pub(crate) fn moving_queue(&self) -> String {
        self.prefixed(MOVING)
    }

    pub(crate) fn parked_queue(&self) -> String {
        self.prefixed(PARKED)
    }

    pub(crate) fn dead_letter_queue(&self) -> String {
        self.prefixed(DEAD_LETTER_QUEUE)
    }

    pub(crate) fn dead_letter_stream(&self) -> String {
        self.prefixed(DEAD_LETTER_STREAM)
    }

    pub(crate) fn dead_letter_exchange(&self) -> String {
        self.prefixed(DEAD_LETTERS)
    }

    /// Returns the routing key of notices that the log has grown.
    pub(crate) fn stored_key(&self) -> String {
        format!("platform-event.created.{}", self.domain)
    }

    /// Returns the routing key of frames.
    pub(crate) fn baked_key(&self) -> String {
        format!("{}.baked", self.domain)
    }

    fn prefixed(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Connects, and declares all durable exchanges and queues. Returns the form of the existing
    /// schedule queue as well. `purpose` becomes part of the connection's name.
    pub(crate) async fn connect(&self, purpose: &str) -> Result<(Connection, Form), String> {
        let connection = self.open(purpose).await?;
        match self.declare(&connection).await? {
            Form::Taken => Err(NAME_TAKEN.to_owned()),
            form => Ok((connection, form)),
        }
    }

    /// Declares all durable exchanges and queues. Returns the form of the schedule queue.
    pub(crate) async fn declare(&self, connection: &Connection) -> Result<Form, String> {
        let channel = connection.create_channel().await.map_err(reason)?;
        self.declare_all_but_schedule(&channel)
            .await
            .map_err(reason)?;
        if let Err(error) = self.declare_stream(connection).await {
            tracing::debug!("dead-letter stream unavailable: {error}");
        }
        let form = self.declare_schedule(connection).await?;
        if form == Form::Taken {
            return Ok(form);
        }
        // During a migration the moving queue is bound in its place.
        if form == Form::Current
            || message_count(connection, &self.moving_queue())
                .await?
                .is_none()
        {
            let queue = self.schedule_queue();
            self.bind(&channel, &queue).await.map_err(reason)?;
        }
        let _ = channel.close(200, "done".into()).await;
        Ok(form)
    }

    /// Declares everything but the schedule queue.
    async fn declare_all_but_schedule(&self, channel: &Channel) -> lapin::Result<()> {
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

    /// Declares the dead-letter stream, on a channel of its own, since a refusal closes the
    /// channel.
    ///
    /// # Errors
    /// A text for an operator if the broker has no streams, or none at the moment. Everything but
    /// the second copy of dead letters works without the stream.
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

    /// Declares the schedule queue, on a channel of its own, since a refusal closes the channel.
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

    /// Returns the arguments of the schedule queue. One consumer is active at a time, so that
    /// several writers keep the queue's order.
    pub(crate) fn schedule_arguments(&self) -> FieldTable {
        let mut arguments = quorum();
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        arguments.insert("x-overflow".into(), text("reject-publish"));
        let dead_letters = self.dead_letter_exchange();
        arguments.insert("x-dead-letter-exchange".into(), text(&dead_letters));
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        arguments
    }

    /// Binds a queue to the exchange of accepted operations.
    pub(crate) async fn bind(&self, channel: &Channel, queue: &str) -> lapin::Result<()> {
        bind(channel, queue, &self.scheduler_exchange(), SCHEDULE).await
    }

    /// Removes the binding of [`Target::bind`].
    pub(crate) async fn unbind(&self, channel: &Channel, queue: &str) -> lapin::Result<()> {
        let exchange = self.scheduler_exchange();
        let none = FieldTable::default();
        channel
            .queue_unbind(queue.into(), exchange.into(), SCHEDULE.into(), none)
            .await
    }
}

/// Returns the number of messages ready in a queue; `None` if the queue does not exist.
pub(crate) async fn message_count(
    connection: &Connection,
    queue: &str,
) -> Result<Option<u32>, String> {
    let channel = connection.create_channel().await.map_err(reason)?;
    match inspect(&channel, queue).await {
        Ok(queue) => {
            let _ = channel.close(200, "done".into()).await;
            Ok(Some(queue.message_count()))
        }
        Err(error) if reply_code(&error) == Some(NOT_FOUND) => Ok(None),
        Err(error) => Err(reason(error)),
    }
}

/// Inspects a queue without declaring it.
async fn inspect(channel: &Channel, queue: &str) -> lapin::Result<Queue> {
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
    arguments.insert(DELIVERY_LIMIT.0.into(), DELIVERY_LIMIT.1);
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}
