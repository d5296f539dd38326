//! Messages that nobody of ours sends: copies of old ones, shuffled; what cannot be read;
//! and what only a newer program could.

use std::collections::VecDeque;
use std::path::Path;

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

/// Somebody at the broker who has a copy of everything.
pub struct Eavesdropper {
    _connection: Connection,
    channel: Channel,
    queue: String,
    prefix: String,
    kept: VecDeque<(String, String, Vec<u8>)>,
}

impl Eavesdropper {
    /// Listens from now on; names at the broker begin with `prefix`.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn at(uri: &str, prefix: &str) -> Result<Self> {
        let connection = Connection::connect(uri, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let exclusive = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel.queue_declare("".into(), exclusive, FieldTable::default());
        let queue = queue.await?.name().to_string();
        for exchange in EXCHANGES {
            let options = QueueBindOptions::default();
            let none = FieldTable::default();
            let exchange = format!("{prefix}{exchange}");
            channel
                .queue_bind(
                    queue.clone().into(),
                    exchange.into(),
                    "#".into(),
                    options,
                    none,
                )
                .await?;
        }
        Ok(Self {
            _connection: connection,
            channel,
            queue,
            prefix: prefix.to_owned(),
            kept: VecDeque::new(),
        })
    }

    /// Takes note of what has passed.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn listen(&mut self) -> Result<()> {
        for _ in 0..4 * MEMORY {
            let options = BasicGetOptions { no_ack: true };
            let got = self.channel.basic_get(self.queue.clone().into(), options);
            let Some(message) = got.await? else { break };
            let exchange = message.delivery.exchange.to_string();
            let exchange = exchange.trim_start_matches(&self.prefix).to_owned();
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
    pub async fn repeat(&mut self, random: &mut StdRng) -> Result<usize> {
        let mut again: Vec<_> = self.kept.drain(..).collect();
        again.shuffle(random);
        for (exchange, key, data) in &again {
            self.send(exchange, key, data).await?;
        }
        Ok(again.len())
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
        let exchange = format!("{}{exchange}", self.prefix);
        let published =
            self.channel
                .basic_publish(exchange.into(), key.into(), options, data, properties);
        published.await?.await.context("no confirmation")?;
        Ok(())
    }
}
