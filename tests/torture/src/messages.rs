//! Messages that nobody of ours sends: copies of old ones, shuffled; what cannot be read;
//! and what only a newer program could.

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
/// Old messages that are remembered.
const MEMORY: usize = 400;

/// An operation that this version of the program cannot read.
#[must_use]
pub fn of_tomorrow(order: &str, owner: &str) -> (Uuid, String) {
    let id = Uuid::new_v4();
    let operation = json!({
        "operation_id": id, "service_name": "order", "operation": "UPDATE", "entity_id": order,
        "payload": { "type": "set_colour", "colour": "green" }, "schema_version": 99,
        "correlation_id": id, "terms": { "owner": owner }, "fingerprint": "torture",
        "accepted_at": time(now()),
    });
    (id, operation.to_string())
}

/// Puts a message into the embedded store's queue.
///
/// # Errors
/// When the store cannot be written to.
pub fn smuggle(file: &Path, message: &str) -> Result<()> {
    let database = rusqlite::Connection::open(file)?;
    database.busy_timeout(std::time::Duration::from_secs(5))?;
    database.execute("INSERT INTO schedule (operation) VALUES (?1)", [message])?;
    Ok(())
}

/// Somebody at the broker who sends what nobody of ours would.
pub struct Stranger {
    connection: Connection,
    channel: Channel,
    prefix: String,
}

impl Stranger {
    /// At the broker, where names begin with `prefix`.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn at(uri: &str, prefix: &str) -> Result<Self> {
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

    /// Leaves nothing behind.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn leave(self) -> Result<()> {
        Ok(self.connection.close(200, "done".into()).await?)
    }

    /// Takes the schedule queue away from its exchange, and gives it back after a while.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn unbind(&self, time: Duration) -> Result<()> {
        let (queue, exchange) = (self.named(SCHEDULE), self.named(SCHEDULER));
        let none = FieldTable::default;
        let (of, from) = (queue.clone().into(), exchange.clone().into());
        self.channel
            .queue_unbind(of, from, SCHEDULE.into(), none())
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

    /// Sends what nobody can read, everywhere.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn babble(&self) -> Result<()> {
        let nonsense: [&[u8]; 4] = [b"", b"{", b"\xff\xfe", b"{\"operation_id\":7}"];
        for data in nonsense {
            self.send(SCHEDULER, SCHEDULE, data).await?;
            self.send("data-source", "order.created", data).await?;
            self.send("orders-socket", "order.baked", data).await?;
        }
        Ok(())
    }

    /// Hands in an operation.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn hand_in(&self, operation: &str) -> Result<()> {
        self.send(SCHEDULER, SCHEDULE, operation.as_bytes()).await
    }

    async fn send(&self, exchange: &str, key: &str, data: &[u8]) -> Result<()> {
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

/// Somebody who has a copy of everything.
pub struct Eavesdropper {
    stranger: Stranger,
    queue: String,
    kept: VecDeque<(String, String, Vec<u8>)>,
}

impl Eavesdropper {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn at(uri: &str, prefix: &str) -> Result<Self> {
        let stranger = Stranger::at(uri, prefix).await?;
        let exclusive = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let channel = &stranger.channel;
        let queue = channel.queue_declare("".into(), exclusive, FieldTable::default());
        let queue = queue.await?.name().to_string();
        for exchange in EXCHANGES {
            let options = QueueBindOptions::default();
            let (of, to) = (queue.clone().into(), stranger.named(exchange).into());
            channel
                .queue_bind(of, to, "#".into(), options, FieldTable::default())
                .await?;
        }
        Ok(Self {
            stranger,
            queue,
            kept: VecDeque::new(),
        })
    }

    /// Leaves nothing behind.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn leave(self) -> Result<()> {
        self.stranger.leave().await
    }

    /// Takes note of what has passed.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn listen(&mut self) -> Result<()> {
        for _ in 0..4 * MEMORY {
            let options = BasicGetOptions { no_ack: true };
            let channel = &self.stranger.channel;
            let got = channel
                .basic_get(self.queue.clone().into(), options)
                .await?;
            let Some(message) = got else { break };
            let exchange = message.delivery.exchange.to_string();
            let exchange = exchange
                .trim_start_matches(&self.stranger.prefix)
                .to_owned();
            let key = message.delivery.routing_key.to_string();
            self.kept.push_back((exchange, key, message.delivery.data));
            if self.kept.len() > MEMORY {
                self.kept.pop_front();
            }
        }
        Ok(())
    }

    /// Sends all of that once more, in any order.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn repeat(&mut self, random: &mut StdRng) -> Result<()> {
        let mut again: Vec<_> = self.kept.drain(..).collect();
        again.shuffle(random);
        for (exchange, key, data) in &again {
            self.stranger.send(exchange, key, data).await?;
        }
        Ok(())
    }
}
