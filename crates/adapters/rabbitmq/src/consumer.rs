//! events-writer's end of the schedule queue.
//!
//! Nothing is ever given back to the queue message by message, since that would
//! change the order: to be given everything again, the connection is dropped.

use std::time::Duration;

use async_trait::async_trait;
use bakehouse_pipeline::ports::{ScheduleConsumer, ScheduledBatch, StoreError, Unreadable};
use bakehouse_pipeline::torture::point;
use futures_util::{FutureExt, StreamExt};
use lapin::Acker;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, Consumer};

use crate::connection::{Target, reason};
use crate::publisher::{Message, Publisher};

/// How long handing over an acknowledgement may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct RabbitConsumer {
    target: Target,
    publisher: Publisher,
    open: Option<Open>,
}

/// A connection that is being consumed from.
struct Open {
    connection: Option<Connection>,
    consumer: Consumer,
    /// Of the last message received and not settled; it speaks for all before it.
    last: Option<Acker>,
}

/// The connection is closed as a whole, which gives what is in hand back to the
/// queue in its order. Left to themselves, the library's handles would cancel
/// the consumer first.
impl Drop for Open {
    fn drop(&mut self) {
        let consumer = self.consumer.clone();
        let connection = self.connection.take();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            if let Some(connection) = connection {
                let _ = connection.close(200, "done".into()).await;
            }
            drop(consumer);
        });
    }
}

impl RabbitConsumer {
    pub(crate) fn new(target: Target, publisher: Publisher) -> Self {
        Self {
            target,
            publisher,
            open: None,
        }
    }
}

#[async_trait]
impl ScheduleConsumer for RabbitConsumer {
    async fn receive(&mut self, max: usize) -> Result<ScheduledBatch, StoreError> {
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(open(&self.target).await.map_err(StoreError::Unavailable)?),
        };
        let received = open.receive(max).await;
        if received.is_err() {
            self.open = None;
        }
        received.map_err(StoreError::Unavailable)
    }

    async fn park(&mut self, message: &Unreadable) -> Result<(), StoreError> {
        let Unreadable { bytes, reason } = message;
        let parked = Message::as_it_came(self.target.parked_queue(), bytes.clone(), reason);
        let published = self.publisher.publish_durably(parked);
        published.await.map_err(StoreError::Unavailable)
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        let Some(open) = &mut self.open else {
            return Err(StoreError::unavailable(
                "the connection to the broker is lost",
            ));
        };
        let settled = open.settle().await;
        if settled.is_err() {
            self.open = None;
        }
        settled.map_err(StoreError::Unavailable)
    }
}

async fn open(target: &Target) -> Result<Open, String> {
    let connection = target.connect("consuming").await?;
    let channel = connection.create_channel().await.map_err(reason)?;
    channel
        .basic_qos(target.prefetch, BasicQosOptions::default())
        .await
        .map_err(reason)?;
    let queue = target.schedule_queue().into();
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(queue, "".into(), options, FieldTable::default());
    Ok(Open {
        consumer: consumer.await.map_err(reason)?,
        connection: Some(connection),
        last: None,
    })
}

impl Open {
    /// Waits for one message, then takes those that are there already.
    async fn receive(&mut self, max: usize) -> Result<ScheduledBatch, String> {
        let mut batch = ScheduledBatch::default();
        let first = self.consumer.next().await;
        // From here on nothing is awaited, so a dropped future has lost nothing.
        self.take(first, &mut batch)?;
        for _ in 1..max {
            match self.consumer.next().now_or_never() {
                Some(next) => self.take(next, &mut batch)?,
                None => break,
            }
        }
        Ok(batch)
    }

    fn take(
        &mut self,
        delivery: Option<lapin::Result<Delivery>>,
        batch: &mut ScheduledBatch,
    ) -> Result<(), String> {
        let delivery = delivery
            .ok_or("broker: the queue is gone")?
            .map_err(reason)?;
        self.last = Some(delivery.acker);
        match serde_json::from_slice(&delivery.data) {
            Ok(operation) => batch.operations.push(operation),
            Err(error) => batch.unreadable.push(Unreadable {
                bytes: delivery.data,
                reason: error.to_string(),
            }),
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), String> {
        let Some(last) = self.last.take() else {
            return Ok(());
        };
        point("rabbitmq.acknowledging");
        let acknowledging = last.ack(BasicAckOptions { multiple: true });
        match tokio::time::timeout(PATIENCE, acknowledging).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("broker: the channel is gone".into()),
            Ok(Err(error)) => Err(reason(error)),
            Err(_) => Err("the broker does not take acknowledgements".into()),
        }
    }
}
