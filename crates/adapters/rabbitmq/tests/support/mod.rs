//! Brokers and foreign clients for the tests of this crate.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::time::Duration;

use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{ScheduleConsumer, Scheduler};
use bakehouse_rabbitmq::{Broker, Settings};
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use uuid::Uuid;

pub(crate) const SCHEDULER: &str = "platform-events-scheduler";
pub(crate) const SCHEDULE: &str = "platform-event.schedule";

/// Returns settings with a unique prefix of names.
pub(crate) fn settings(uri: String) -> Settings {
    Settings {
        uri,
        management_uri: None,
        connection_name: "conformance".into(),
        domain: "counter",
        prefix: format!("{}.", ids::fresh()),
        confirm_timeout: Duration::from_secs(2),
        prefetch: 100,
    }
}

/// Connects to a broker, and waits until it is ready.
pub(crate) async fn connected_broker(settings: &Settings) -> Broker {
    let broker = Broker::new(settings).expect("a valid URI");
    wait_until_ready(&broker).await;
    broker
}

pub(crate) async fn wait_until_ready(broker: &Broker) {
    let probe = broker.probe();
    let ready = async {
        while probe.check().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ready)
        .await
        .expect("the broker is ready");
}

/// Receives and settles until all of these operations have arrived. Returns them in the order of
/// their first arrival.
pub(crate) async fn receive_all(consumer: &mut dyn ScheduleConsumer, ids: &[Uuid]) -> Vec<Uuid> {
    let mut seen: Vec<Uuid> = Vec::new();
    let receiving = async {
        while !ids.iter().all(|id| seen.contains(id)) {
            let batch = match consumer.receive(100).await {
                Ok(batch) => batch,
                Err(error) => {
                    eprintln!("{error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            for operation in batch.operations {
                if !seen.contains(&operation.operation_id) {
                    seen.push(operation.operation_id);
                }
            }
            let _ = consumer.settle().await;
        }
    };
    let received = tokio::time::timeout(Duration::from_secs(60), receiving).await;
    assert!(received.is_ok(), "{} of {} arrived", seen.len(), ids.len());
    seen
}

/// Schedules an operation, and retries while it is refused.
pub(crate) async fn schedule_with_retries(
    scheduler: &dyn Scheduler,
    operation: &bakehouse_engine::Operation,
) {
    for _ in 0..100 {
        if scheduler.schedule(operation).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the broker confirms nothing");
}

/// Client of another program at the same broker.
pub(crate) struct ForeignClient {
    pub(crate) connection: Connection,
    pub(crate) prefix: String,
}

impl ForeignClient {
    pub(crate) async fn connect(settings: &Settings) -> Self {
        let connection = Connection::connect(&settings.uri, ConnectionProperties::default());
        Self {
            connection: connection.await.expect("connects"),
            prefix: settings.prefix.clone(),
        }
    }

    pub(crate) async fn channel(&self) -> Channel {
        self.connection.create_channel().await.expect("a channel")
    }

    pub(crate) fn prefixed(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Checks whether a queue of this name exists.
    pub(crate) async fn has_queue(&self, name: &str) -> bool {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::durable()
        };
        let channel = self.channel().await;
        let name = self.prefixed(name).into();
        let found = channel.queue_declare(name, passive, FieldTable::default());
        found.await.is_ok()
    }

    /// Declares an exclusive queue, and binds it to the scheduler's exchange.
    pub(crate) async fn bind_own_queue(&self) -> String {
        let channel = self.channel().await;
        let options = QueueDeclareOptions::exclusive();
        let queue = channel.queue_declare("".into(), options, FieldTable::default());
        let queue = queue.await.expect("a queue").name().to_string();
        self.bind(&queue).await;
        queue
    }

    pub(crate) async fn bind(&self, queue: &str) {
        let exchange = self.prefixed(SCHEDULER).into();
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        let channel = self.channel().await;
        let bound = channel.queue_bind(queue.into(), exchange, SCHEDULE.into(), options, none);
        bound.await.expect("bound");
    }

    pub(crate) async fn unbind(&self, queue: &str) {
        let exchange = self.prefixed(SCHEDULER).into();
        let channel = self.channel().await;
        let none = FieldTable::default();
        let unbound = channel.queue_unbind(queue.into(), exchange, SCHEDULE.into(), none);
        unbound.await.expect("unbound");
    }

    /// Publishes a message to the schedule queue itself, and waits for the confirmation.
    pub(crate) async fn publish_raw(&self, message: Vec<u8>) {
        let channel = self.channel().await;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        confirms.await.expect("confirms");
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = BasicProperties::default().with_delivery_mode(2);
        let queue = self.prefixed(SCHEDULE).into();
        let published = channel.basic_publish("".into(), queue, options, &message, properties);
        let confirmed = published.await.expect("published").await;
        let confirmed = confirmed.expect("an answer");
        assert!(matches!(confirmed, lapin::Confirmation::Ack(None)));
    }

    /// Publishes operations to the scheduler's exchange, and waits for the confirmation of each.
    pub(crate) async fn publish(&self, operations: &[bakehouse_engine::Operation]) {
        let channel = self.channel().await;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        confirms.await.expect("confirms");
        for operation in operations {
            let payload = serde_json::to_vec(operation).expect("JSON");
            let options = BasicPublishOptions {
                mandatory: true,
                ..BasicPublishOptions::default()
            };
            let properties = BasicProperties::default().with_delivery_mode(2);
            let exchange = self.prefixed(SCHEDULER).into();
            let published =
                channel.basic_publish(exchange, SCHEDULE.into(), options, &payload, properties);
            let confirmed = published.await.expect("published").await;
            let confirmed = confirmed.expect("an answer");
            assert!(matches!(confirmed, lapin::Confirmation::Ack(None)));
        }
    }
}

pub(crate) fn ids_of(operations: &[bakehouse_engine::Operation]) -> Vec<Uuid> {
    operations
        .iter()
        .map(|operation| operation.operation_id)
        .collect()
}
