//! events-writer's end of the schedule queue.
//!
//! Messages are never requeued one by one, since that would change their order: to receive
//! unsettled messages again, the connection is dropped.
//!
//! Dead letters come first: what the broker has removed from the queue is older than the rest of
//! it.

use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::fault_injection::failpoint;
use bakehouse_engine::ports::{ScheduleConsumer, ScheduledBatch, StoreError, UnreadableMessage};
use futures_util::{FutureExt, StreamExt};
use lapin::Acker;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, Consumer};
use tokio::time::Instant;

use crate::connection::{Target, no_answer, reason};
use crate::dead_letters::{self, is_marker};
use crate::migration::{Migration, STEP_INTERVAL};
use crate::publisher::{Message, Publisher};
use crate::topology::message_count;

/// Timeout of sending an acknowledgement, and of checking the queue.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of opening a connection and its consumers, and of one migration step.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// Time without a dead letter after which all earlier ones count as received, and the schedule
/// queue is consumed.
const CATCH_UP_IDLE_TIME: Duration = Duration::from_millis(250);

/// Interval at which an idle consumer checks that its queue exists and is empty: the broker may
/// have lost a consumer whose queue was replaced.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Time without a delivery after which a consumer reconnects in any case.
const IDLE_RECONNECT_DELAY: Duration = Duration::from_secs(20);
/// Attempts to open the dead-letter stream per connection.
const STREAM_ATTEMPTS: usize = 6;
/// Interval between attempts to open the dead-letter stream.
const STREAM_RETRY_INTERVAL: Duration = Duration::from_millis(250);

pub(crate) struct RabbitConsumer {
    target: Target,
    publisher: Publisher,
    open: Option<OpenConsumer>,
    /// Offset of the last settled message of the dead-letter stream.
    offset: Option<i64>,
}

/// Connection with the consumers of all queues.
struct OpenConsumer {
    connection: Option<Connection>,
    schedule: QueueConsumer,
    dead_letters: QueueConsumer,
    /// Consumer of the dead-letter stream; `None` while the broker has none.
    stream: Option<QueueConsumer>,
    /// Offset of the last message received from the stream.
    offset: Option<i64>,
    /// True once the dead letters from before the connection have been received.
    is_caught_up: bool,
    migration: Option<Migration>,
    /// Time of the last delivery or check.
    active_at: Instant,
    /// Time of the last delivery.
    delivered_at: Instant,
    /// True if the connection must be replaced.
    is_stale: bool,
}

/// Consumer of one queue, on a channel of its own.
pub(crate) struct QueueConsumer {
    deliveries: Consumer,
    /// Acker of the last unsettled message, which acknowledges all earlier ones as well.
    last_unsettled: Option<Acker>,
}

/// Queue of a [`QueueConsumer`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Schedule,
    DeadLetters,
    Stream,
}

/// Next item of a consumer's stream; `None` if the consumer has ended.
type NextDelivery = Option<lapin::Result<Delivery>>;

/// Closes the connection as a whole, which requeues the unsettled messages in order. Dropping the
/// library's handles one by one would cancel the consumers first.
impl Drop for OpenConsumer {
    fn drop(&mut self) {
        let sources = [
            Some(&self.schedule),
            Some(&self.dead_letters),
            self.stream.as_ref(),
        ];
        let consumers = sources.map(|source| source.map(|source| source.deliveries.clone()));
        let connection = self.connection.take();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            if let Some(connection) = connection {
                let _ = connection.close(200, "done".into()).await;
            }
            drop(consumers);
        });
    }
}

impl RabbitConsumer {
    pub(crate) fn new(target: Target, publisher: Publisher) -> Self {
        Self {
            target,
            publisher,
            open: None,
            offset: None,
        }
    }

    async fn try_receive(&mut self, max: usize) -> Result<ScheduledBatch, String> {
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let opened = tokio::time::timeout(OPEN_TIMEOUT, open(&self.target, self.offset));
                none.insert(opened.await.map_err(|_| no_answer(OPEN_TIMEOUT))??)
            }
        };
        open.receive(&self.target, &self.publisher, max).await
    }
}

#[async_trait]
impl ScheduleConsumer for RabbitConsumer {
    async fn receive(&mut self, max: usize) -> Result<ScheduledBatch, StoreError> {
        loop {
            let received = self.try_receive(max).await;
            if received.is_err() {
                self.open = None;
            }
            let batch = received.map_err(StoreError::Unavailable)?;
            if !batch.operations.is_empty() || !batch.unreadable.is_empty() {
                return Ok(batch);
            }
            if self.open.as_ref().is_some_and(|open| open.is_stale) {
                self.open = None;
            } else {
                // The batch had only markers.
                self.settle().await?;
            }
        }
    }

    async fn park(&mut self, message: &UnreadableMessage) -> Result<(), StoreError> {
        let UnreadableMessage { bytes, reason } = message;
        let parked = Message::raw(self.target.parked_queue(), bytes.clone(), reason);
        let published = self.publisher.publish_durably(parked);
        published.await.map_err(StoreError::Unavailable)?;
        // In the stream as well, where policies on age of messages do not apply.
        let copy = Message::raw(self.target.dead_letter_stream(), bytes.clone(), reason);
        if let Err(error) = self.publisher.publish_durably(copy).await {
            tracing::debug!("cannot copy an unreadable message to the dead-letter stream: {error}");
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        let Some(open) = &mut self.open else {
            return Err(StoreError::unavailable("broker: connection lost"));
        };
        let settled = open.settle().await;
        if settled.is_err() {
            self.open = None;
            return settled.map_err(StoreError::Unavailable);
        }
        self.offset = open.offset;
        if open.migration.as_ref().is_some_and(Migration::is_drained) {
            // Reconnecting determines the queue to consume next.
            if let Some(open) = self.open.take() {
                open.finish_migration(&self.target).await;
            }
        }
        Ok(())
    }
}

async fn open(target: &Target, offset: Option<i64>) -> Result<OpenConsumer, String> {
    let (connection, form) = target.connect("consuming").await?;
    let migration = Migration::detect(target, &connection, form).await?;
    let queue = match &migration {
        Some(migration) => migration.queue().to_owned(),
        None => target.schedule_queue(),
    };
    let (letters, none) = (target.dead_letter_queue(), FieldTable::default());
    Ok(OpenConsumer {
        stream: open_stream(target, &connection, offset).await,
        dead_letters: QueueConsumer::open(target, &connection, letters, none.clone()).await?,
        schedule: QueueConsumer::open(target, &connection, queue, none).await?,
        connection: Some(connection),
        offset,
        is_caught_up: false,
        migration,
        active_at: Instant::now(),
        delivered_at: Instant::now(),
        is_stale: false,
    })
}

/// Opens the dead-letter stream, with retries, since a broker that has just started opens it last.
async fn open_stream(
    target: &Target,
    connection: &Connection,
    offset: Option<i64>,
) -> Option<QueueConsumer> {
    let mut error = String::new();
    for _ in 0..STREAM_ATTEMPTS {
        let (stream, at) = (
            target.dead_letter_stream(),
            dead_letters::offset_after(offset),
        );
        let opened = match target.declare_stream(connection).await {
            Ok(()) => QueueConsumer::open(target, connection, stream, at).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(consumer) => return Some(consumer),
            Err(refused) => error = refused,
        }
        tokio::time::sleep(STREAM_RETRY_INTERVAL).await;
    }
    tracing::warn!("dead-letter stream unavailable; consuming the dead-letter queue only: {error}");
    None
}

impl QueueConsumer {
    async fn open(
        target: &Target,
        connection: &Connection,
        queue: String,
        arguments: FieldTable,
    ) -> Result<Self, String> {
        let channel = connection.create_channel().await.map_err(reason)?;
        channel
            .basic_qos(target.prefetch, BasicQosOptions::default())
            .await
            .map_err(reason)?;
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(queue.into(), "".into(), options, arguments);
        Ok(Self {
            deliveries: consumer.await.map_err(reason)?,
            last_unsettled: None,
        })
    }

    /// Returns the next message if it has arrived already.
    fn ready(&mut self) -> Option<NextDelivery> {
        self.deliveries.next().now_or_never()
    }

    async fn settle(&mut self) -> Result<(), String> {
        let Some(last) = self.last_unsettled.take() else {
            return Ok(());
        };
        let acknowledging = last.ack(BasicAckOptions { multiple: true });
        match tokio::time::timeout(REQUEST_TIMEOUT, acknowledging).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("broker: channel closed".into()),
            Ok(Err(error)) => Err(reason(error)),
            Err(_) => Err(no_answer(REQUEST_TIMEOUT)),
        }
    }
}

/// Returns the next message of a consumer; never completes without a consumer.
async fn next_of(consumer: &mut Option<QueueConsumer>) -> NextDelivery {
    match consumer {
        Some(consumer) => consumer.deliveries.next().await,
        None => std::future::pending().await,
    }
}

impl OpenConsumer {
    /// Waits for one message, then takes those that have arrived already. The batch is empty if all
    /// of them were markers, or the connection is stale.
    async fn receive(
        &mut self,
        target: &Target,
        publisher: &Publisher,
        max: usize,
    ) -> Result<ScheduledBatch, String> {
        let mut batch = ScheduledBatch::default();
        let (source, first) = loop {
            if let (Some(migration), Some(connection)) = (&mut self.migration, &self.connection) {
                let step = migration.step(target, connection, publisher);
                let step = tokio::time::timeout(OPEN_TIMEOUT, step).await;
                step.map_err(|_| no_answer(OPEN_TIMEOUT))??;
            }
            match self.next().await {
                Some(first) => break first,
                None if self.migration.is_none() && self.is_due_for_check() => {
                    self.check(target).await?;
                    if self.is_stale {
                        return Ok(batch);
                    }
                }
                None => {}
            }
        };
        self.active_at = Instant::now();
        self.delivered_at = self.active_at;
        // Nothing is awaited from here on, so that dropping the future loses nothing.
        self.take(source, first, &mut batch)?;
        for _ in 1..max {
            let Some((source, next)) = self.ready() else {
                break;
            };
            self.take(source, next, &mut batch)?;
        }
        Ok(batch)
    }

    /// Returns the next message; `None` if a migration step or a check of the queue may be due.
    async fn next(&mut self) -> Option<(Source, NextDelivery)> {
        let wait = match (self.is_caught_up, &self.migration) {
            (false, _) => CATCH_UP_IDLE_TIME,
            (true, Some(_)) => STEP_INTERVAL,
            (true, None) => IDLE_CHECK_INTERVAL,
        };
        let found = tokio::select! {
            biased;
            next = self.dead_letters.deliveries.next() => Some((Source::DeadLetters, next)),
            next = next_of(&mut self.stream) => Some((Source::Stream, next)),
            next = self.schedule.deliveries.next(), if self.is_caught_up => {
                Some((Source::Schedule, next))
            }
            () = tokio::time::sleep(wait) => None,
        };
        self.is_caught_up |= found.is_none();
        found
    }

    fn is_due_for_check(&self) -> bool {
        self.active_at.elapsed() >= IDLE_CHECK_INTERVAL
    }

    /// Checks an idle consumer. It is stale if its queue has messages that are not delivered, or if
    /// it has been idle for long. A standby consumer, which gets no deliveries either, just
    /// subscribes again.
    ///
    /// # Errors
    /// A text for an operator if the queue does not exist or the broker does not answer.
    async fn check(&mut self, target: &Target) -> Result<(), String> {
        let Some(connection) = &self.connection else {
            return Ok(());
        };
        let queue = target.schedule_queue();
        let check = tokio::time::timeout(REQUEST_TIMEOUT, message_count(connection, &queue));
        let found = check.await.map_err(|_| no_answer(REQUEST_TIMEOUT))?;
        self.active_at = Instant::now();
        match found? {
            Some(waiting) => {
                self.is_stale = waiting > 0 || self.delivered_at.elapsed() >= IDLE_RECONNECT_DELAY;
                Ok(())
            }
            None => Err(format!("broker: queue {queue} not found")),
        }
    }

    fn ready(&mut self) -> Option<(Source, NextDelivery)> {
        if let Some(next) = self.dead_letters.ready() {
            return Some((Source::DeadLetters, next));
        }
        if let Some(next) = self.stream.as_mut().and_then(QueueConsumer::ready) {
            return Some((Source::Stream, next));
        }
        if !self.is_caught_up {
            return None;
        }
        Some((Source::Schedule, self.schedule.ready()?))
    }

    fn take(
        &mut self,
        source: Source,
        delivery: NextDelivery,
        batch: &mut ScheduledBatch,
    ) -> Result<(), String> {
        let delivery = delivery
            .ok_or("broker: consumer ended; the queue was deleted or the connection lost")?
            .map_err(reason)?;
        let consumer = match source {
            Source::Schedule => Some(&mut self.schedule),
            Source::DeadLetters => Some(&mut self.dead_letters),
            Source::Stream => self.stream.as_mut(),
        };
        if let Some(consumer) = consumer {
            consumer.last_unsettled = Some(delivery.acker);
        }
        if source == Source::Stream {
            self.offset = dead_letters::offset(&delivery.properties).or(self.offset);
        }
        if source == Source::Schedule
            && let Some(migration) = &mut self.migration
        {
            migration.note_delivery();
        }
        if is_marker(&delivery.properties) {
            let id = delivery.properties.message_id();
            if let (Some(migration), Some(id)) = (&mut self.migration, id) {
                migration.note_marker(id.as_str());
            }
            return Ok(());
        }
        match serde_json::from_slice(&delivery.data) {
            Ok(operation) => {
                if source != Source::Schedule {
                    let letters = &mut batch.dead_letters;
                    letters.indexes.push(batch.operations.len());
                    letters.reason = dead_letters::reason(&delivery.properties);
                }
                batch.operations.push(operation);
            }
            // Not parked: it stays in the stream in any case.
            Err(_) if source == Source::Stream => {}
            Err(error) => batch.unreadable.push(UnreadableMessage {
                bytes: delivery.data,
                reason: format!("not an operation of this version: {error}"),
            }),
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), String> {
        failpoint("rabbitmq.acknowledging");
        self.dead_letters.settle().await?;
        if let Some(stream) = &mut self.stream {
            stream.settle().await?;
        }
        self.schedule.settle().await
    }

    /// Deletes the queue that has been emptied. After a failure the next connection tries again.
    async fn finish_migration(self, target: &Target) {
        if let (Some(migration), Some(connection)) = (&self.migration, &self.connection)
            && let Err(error) = migration.finish(target, connection).await
        {
            tracing::warn!("schedule queue not replaced yet: {error}");
        }
    }
}
