//! Messages that no service sends: copies of earlier ones in random order, garbage, and operations
//! of an unknown schema version.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde_json::json;
use uuid::Uuid;

use crate::ledger::now;
use crate::model::time;

const SCHEDULER: &str = "platform-events-scheduler";
const SCHEDULE: &str = "platform-event.schedule";
const EXCHANGES: [&str; 3] = [SCHEDULER, "data-source", "orders-socket"];
/// Maximum number of recorded messages.
const MAX_RECORDED: usize = 400;

/// Returns the id and text of an operation whose schema version this program does not know.
#[must_use]
pub fn future_operation(order: &str, owner: &str) -> (Uuid, String) {
    let id = Uuid::new_v4();
    let operation = json!({
        "operation_id": id, "service_name": "order", "operation": "UPDATE", "entity_id": order,
        "payload": { "type": "set_colour", "colour": "green" }, "schema_version": 99,
        "correlation_id": id, "terms": { "owner": owner }, "fingerprint": "torture",
        "accepted_at": time(now()),
    });
    (id, operation.to_string())
}

/// Inserts a message into the queue of the embedded store.
///
/// # Errors
/// When the store cannot be written.
pub fn insert_into_queue(file: &Path, message: &str) -> Result<()> {
    let database = rusqlite::Connection::open(file)?;
    database.busy_timeout(std::time::Duration::from_secs(5))?;
    database.execute("INSERT INTO schedule (operation) VALUES (?1)", [message])?;
    Ok(())
}

/// Publisher of arbitrary messages.
pub struct RawPublisher {
    connection: Connection,
    channel: Channel,
    prefix: String,
}

impl RawPublisher {
    /// Connects to the broker, whose queues and exchanges have this prefix.
    ///
    /// # Errors
    /// When the broker is unavailable.
    pub async fn connect(uri: &str, prefix: &str) -> Result<Self> {
        let connection = Connection::connect(uri, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Self {
            connection,
            channel,
            prefix: prefix.to_owned(),
        })
    }

    /// Closes the connection.
    ///
    /// # Errors
    /// When the broker is unavailable.
    pub async fn disconnect(self) -> Result<()> {
        Ok(self.connection.close(200, "done".into()).await?)
    }

    /// Removes the binding of the schedule queue and restores it after some time.
    ///
    /// # Errors
    /// When the broker is unavailable.
    pub async fn unbind(&self, time: Duration) -> Result<()> {
        let (queue, exchange) = (self.named(SCHEDULE), self.named(SCHEDULER));
        let none = FieldTable::default;
        let (from_queue, from_exchange) = (queue.clone().into(), exchange.clone().into());
        self.channel
            .queue_unbind(from_queue, from_exchange, SCHEDULE.into(), none())
            .await?;
        tokio::time::sleep(time).await;
        let options = QueueBindOptions::default();
        let bound = self.channel.queue_bind(
            queue.into(),
            exchange.into(),
            SCHEDULE.into(),
            options,
            none(),
        );
        Ok(bound.await?)
    }

    /// Publishes unreadable messages to every exchange.
    ///
    /// # Errors
    /// When the broker is unavailable.
    pub async fn publish_garbage(&self) -> Result<()> {
        let garbage: [&[u8]; 4] = [b"", b"{", b"\xff\xfe", b"{\"operation_id\":7}"];
        for data in garbage {
            self.publish(SCHEDULER, SCHEDULE, data).await?;
            self.publish("data-source", "order.created", data).await?;
            self.publish("orders-socket", "order.baked", data).await?;
        }
        Ok(())
    }

    /// Publishes an operation to the schedule queue.
    ///
    /// # Errors
    /// When the broker is unavailable.
    pub async fn publish_operation(&self, operation: &str) -> Result<()> {
        self.publish(SCHEDULER, SCHEDULE, operation.as_bytes())
            .await
    }

    async fn publish(&self, exchange: &str, key: &str, data: &[u8]) -> Result<()> {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        let exchange = self.named(exchange).into();
        let published = self
            .channel
            .basic_publish(exchange, key.into(), options, data, properties);
        published.await?.await.context("no confirmation")?;
        Ok(())
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Recorder of all messages of the exchanges, which can publish them again.
pub struct MessageRecorder {
    publisher: RawPublisher,
    queue: String,
    recorded: VecDeque<(String, String, Vec<u8>)>,
}

impl MessageRecorder {
    /// Connects and records from now on.
    ///
    /// # Errors
    /// When the broker is unavailable.
    pub async fn connect(uri: &str, prefix: &str) -> Result<Self> {
        let publisher = RawPublisher::connect(uri, prefix).await?;
        let exclusive = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let channel = &publisher.channel;
        let queue = channel.queue_declare("".into(), exclusive, FieldTable::default());
        let queue = queue.await?.name().to_string();
        for exchange in EXCHANGES {
            let options = QueueBindOptions::default();
            let (of, to) = (queue.clone().into(), publisher.named(exchange).into());
            channel
                .queue_bind(of, to, "#".into(), options, FieldTable::default())
                .await?;
        }
        Ok(Self {
            publisher,
            queue,
            recorded: VecDeque::new(),
        })
    }

    /// Closes the connection.
    ///
    /// # Errors
    /// When the broker is unavailable.
    pub async fn disconnect(self) -> Result<()> {
        self.publisher.disconnect().await
    }

    /// Collects the messages that have arrived in its queue.
    ///
    /// # Errors
    /// When the broker is unavailable.
    pub async fn collect(&mut self) -> Result<()> {
        for _ in 0..4 * MAX_RECORDED {
            let options = BasicGetOptions { no_ack: true };
            let channel = &self.publisher.channel;
            let got = channel
                .basic_get(self.queue.clone().into(), options)
                .await?;
            let Some(message) = got else { break };
            let exchange = message.delivery.exchange.to_string();
            let exchange = exchange
                .trim_start_matches(&self.publisher.prefix)
                .to_owned();
            let key = message.delivery.routing_key.to_string();
            self.recorded
                .push_back((exchange, key, message.delivery.data));
            if self.recorded.len() > MAX_RECORDED {
                self.recorded.pop_front();
            }
        }
        Ok(())
    }

    /// Publishes all recorded messages again, in random order.
    ///
    /// # Errors
    /// When the broker is unavailable.
    pub async fn repeat(&mut self, random: &mut StdRng) -> Result<()> {
        let mut messages: Vec<_> = self.recorded.drain(..).collect();
        messages.shuffle(random);
        for (exchange, key, data) in &messages {
            self.publisher.publish(exchange, key, data).await?;
        }
        Ok(())
    }
}
