//! Exchanges and queues. Declared by every service each time it connects, so
//! that none has to be started first, and none of them by hand.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, Connection, ExchangeKind};

use crate::connection::{Target, reason};

/// Accepted operations, and hints that they have been stored.
const SCHEDULER: &str = "platform-events-scheduler";
/// What has been executed.
const SOURCE: &str = "data-source";
/// What has been baked.
const SOCKET: &str = "orders-socket";
/// An accepted operation.
pub(crate) const SCHEDULE: &str = "platform-event.schedule";
/// Where messages are kept that nobody can read.
const PARKED: &str = "platform-event.parked";

/// As good as no limit: what has been accepted is never dropped for having been
/// delivered too often. Brokers from 4.0 on have a limit of 20 unless told
/// otherwise. Their word for "none", -1, is fatal elsewhere: 3.10.8 takes it
/// without complaint and then drops every message that is delivered again.
const DELIVERIES: (&str, AMQPValue) = ("x-delivery-limit", AMQPValue::LongInt(i32::MAX));

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

    pub(crate) fn parked_queue(&self) -> String {
        self.named(PARKED)
    }

    /// Of hints that the log has grown.
    pub(crate) fn stored_key(&self) -> String {
        format!("platform-event.created.{}", self.domain)
    }

    /// Of frames.
    pub(crate) fn baked_key(&self) -> String {
        format!("{}.baked", self.domain)
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Declares everything that is durable.
    pub(super) async fn declare(&self, connection: &Connection) -> Result<(), String> {
        let channel = connection.create_channel().await.map_err(reason)?;
        let exchanges = [
            self.scheduler_exchange(),
            self.source_exchange(),
            self.socket_exchange(),
        ];
        for exchange in exchanges {
            declare_exchange(&channel, exchange).await.map_err(reason)?;
        }
        declare_quorum(&channel, self.schedule_queue(), true)
            .await
            .map_err(reason)?;
        declare_quorum(&channel, self.parked_queue(), false)
            .await
            .map_err(reason)?;
        let (queue, exchange) = (self.schedule_queue(), self.scheduler_exchange());
        let options = QueueBindOptions::default();
        let none = FieldTable::default();
        let bound = channel.queue_bind(
            queue.into(),
            exchange.into(),
            SCHEDULE.into(),
            options,
            none,
        );
        bound.await.map_err(reason)
    }
}

async fn declare_exchange(channel: &Channel, name: String) -> lapin::Result<()> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(
            name.into(),
            ExchangeKind::Topic,
            options,
            FieldTable::default(),
        )
        .await
}

/// With one consumer at a time, several writers keep the queue's order.
async fn declare_quorum(
    channel: &Channel,
    name: String,
    single_consumer: bool,
) -> lapin::Result<()> {
    let mut arguments = FieldTable::default();
    let quorum = AMQPValue::LongString(LongString::from("quorum"));
    arguments.insert("x-queue-type".into(), quorum);
    arguments.insert(DELIVERIES.0.into(), DELIVERIES.1);
    if single_consumer {
        arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    }
    channel
        .queue_declare(name.into(), QueueDeclareOptions::durable(), arguments)
        .await?;
    Ok(())
}
