//! events-writer's end of the schedule queue.
//!
//! Nothing is ever given back to the queue message by message, since that would
//! change the order: to be given everything again, the connection is dropped.
//!
//! Dead letters come first: what the broker has removed from the queue is older than what is
//! still in it.

use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::fault_injection::point;
use bakehouse_engine::ports::{ScheduleConsumer, ScheduledBatch, StoreError, Unreadable};
use futures_util::{FutureExt, StreamExt};
use lapin::Acker;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, Consumer};
use tokio::time::Instant;

use crate::connection::{Target, reason};
use crate::dead_letters::{self, is_marker};
use crate::migration::{Migration, TICK};
use crate::publisher::{Message, Publisher};
use crate::topology::find;

/// How long handing over an acknowledgement may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time that opening a connection and its consumers may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(15);
/// Time without a dead letter after which all earlier ones count as received.
const CATCH_UP_QUIET: Duration = Duration::from_millis(250);

/// Interval at which an idle consumer makes sure that its queue is there, and that nothing waits
/// in it: the broker may have forgotten a consumer whose queue was replaced.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Time without a delivery after which a consumer connects again, whatever the broker says.
const IDLE_RECONNECT: Duration = Duration::from_secs(20);
/// Times that the stream of dead letters is tried when a connection is opened.
const STREAM_ATTEMPTS: usize = 6;
/// Interval between these.
const STREAM_RETRY_INTERVAL: Duration = Duration::from_millis(250);

pub(crate) struct RabbitConsumer {
    target: Target,
    publisher: Publisher,
    open: Option<Open>,
    /// Offset of the last message of the stream of dead letters that is settled.
    offset: Option<i64>,
}

/// A connection that is being consumed from.
struct Open {
    connection: Option<Connection>,
    schedule: Intake,
    dead_letters: Intake,
    /// Dead letters' stream; `None` while the broker has none.
    stream: Option<Intake>,
    /// Offset of the last message received from the stream.
    offset: Option<i64>,
    /// True if the dead letters of before have been received.
    is_caught_up: bool,
    migration: Option<Migration>,
    /// Time of the last delivery or check.
    active_at: Instant,
    /// Time of the last delivery.
    delivered_at: Instant,
    is_stale: bool,
}

/// Source of deliveries, on a channel of its own.
pub(crate) struct Intake {
    consumer: Consumer,
    /// Of the last message received and not settled; it speaks for all before it.
    last: Option<Acker>,
}

/// Kind of an [`Intake`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Schedule,
    DeadLetters,
    Stream,
}

type Next = Option<lapin::Result<Delivery>>;

/// The connection is closed as a whole, which gives what is in hand back to the
/// queue in its order. Left to themselves, the library's handles would cancel
/// the consumer first.
impl Drop for Open {
    fn drop(&mut self) {
        let sources = [
            Some(&self.schedule),
            Some(&self.dead_letters),
            self.stream.as_ref(),
        ];
        let consumers = sources.map(|source| source.map(|source| source.consumer.clone()));
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
                none.insert(opened.await.map_err(|_| "the broker does not answer")??)
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
                // Markers only.
                self.settle().await?;
            }
        }
    }

    async fn park(&mut self, message: &Unreadable) -> Result<(), StoreError> {
        let Unreadable { bytes, reason } = message;
        let parked = Message::as_it_came(self.target.parked_queue(), bytes.clone(), reason);
        let published = self.publisher.publish_durably(parked);
        published.await.map_err(StoreError::Unavailable)?;
        // In the stream as well, where no policy expires it.
        let kept = Message::as_it_came(self.target.dead_letter_stream(), bytes.clone(), reason);
        if let Err(error) = self.publisher.publish_durably(kept).await {
            tracing::debug!("an unreadable message is not in the stream of dead letters: {error}");
        }
        Ok(())
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
            return settled.map_err(StoreError::Unavailable);
        }
        self.offset = open.offset;
        if open.migration.as_ref().is_some_and(Migration::is_drained) {
            // What is to be consumed next is found out by connecting again.
            if let Some(open) = self.open.take() {
                open.finish_migration(&self.target).await;
            }
        }
        Ok(())
    }
}

async fn open(target: &Target, offset: Option<i64>) -> Result<Open, String> {
    let (connection, form) = target.connect("consuming").await?;
    let migration = Migration::find(target, &connection, form).await?;
    let queue = match &migration {
        Some(migration) => migration.queue().to_owned(),
        None => target.schedule_queue(),
    };
    let (letters, none) = (target.dead_letter_queue(), FieldTable::default());
    Ok(Open {
        stream: open_stream(target, &connection, offset).await,
        dead_letters: Intake::open(target, &connection, letters, none.clone()).await?,
        schedule: Intake::open(target, &connection, queue, none).await?,
        connection: Some(connection),
        offset,
        is_caught_up: false,
        migration,
        active_at: Instant::now(),
        delivered_at: Instant::now(),
        is_stale: false,
    })
}

/// Waits a little for the stream of dead letters: a broker that has just started has it last.
async fn open_stream(
    target: &Target,
    connection: &Connection,
    offset: Option<i64>,
) -> Option<Intake> {
    let mut error = String::new();
    for _ in 0..STREAM_ATTEMPTS {
        let (stream, at) = (
            target.dead_letter_stream(),
            dead_letters::offset_after(offset),
        );
        let opened = match target.declare_stream(connection).await {
            Ok(()) => Intake::open(target, connection, stream, at).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(intake) => return Some(intake),
            Err(refused) => error = refused,
        }
        tokio::time::sleep(STREAM_RETRY_INTERVAL).await;
    }
    tracing::warn!("going on without the stream of dead letters: {error}");
    None
}

impl Intake {
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
            consumer: consumer.await.map_err(reason)?,
            last: None,
        })
    }

    /// Next message that has arrived already, if any has.
    fn ready(&mut self) -> Option<Next> {
        self.consumer.next().now_or_never()
    }

    async fn settle(&mut self) -> Result<(), String> {
        let Some(last) = self.last.take() else {
            return Ok(());
        };
        let acknowledging = last.ack(BasicAckOptions { multiple: true });
        match tokio::time::timeout(PATIENCE, acknowledging).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("broker: the channel is gone".into()),
            Ok(Err(error)) => Err(reason(error)),
            Err(_) => Err("the broker does not take acknowledgements".into()),
        }
    }
}

/// The next message, where there is a source.
async fn next_of(intake: &mut Option<Intake>) -> Next {
    match intake {
        Some(intake) => intake.consumer.next().await,
        None => std::future::pending().await,
    }
}

impl Open {
    /// Waits for one message, then takes those that are there already. The batch is empty where
    /// none of them was an operation.
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
                step.map_err(|_| "the broker does not answer")??;
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
        // From here on nothing is awaited, so a dropped future has lost nothing.
        self.take(source, first, &mut batch)?;
        for _ in 1..max {
            let Some((source, next)) = self.ready() else {
                break;
            };
            self.take(source, next, &mut batch)?;
        }
        Ok(batch)
    }

    /// The next message. `None`: something else has to be looked at.
    async fn next(&mut self) -> Option<(Source, Next)> {
        let wait = match (self.is_caught_up, &self.migration) {
            (false, _) => CATCH_UP_QUIET,
            (true, Some(_)) => TICK,
            (true, None) => IDLE_CHECK_INTERVAL,
        };
        let found = tokio::select! {
            biased;
            next = self.dead_letters.consumer.next() => Some((Source::DeadLetters, next)),
            next = next_of(&mut self.stream) => Some((Source::Stream, next)),
            next = self.schedule.consumer.next(), if self.is_caught_up => {
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

    /// Fails if the queue is gone; finds the consumer stale if the queue has messages that it is
    /// not given, or has been idle for long. A standby is not given any either, and takes its place
    /// again.
    async fn check(&mut self, target: &Target) -> Result<(), String> {
        let Some(connection) = &self.connection else {
            return Ok(());
        };
        let queue = target.schedule_queue();
        let check = tokio::time::timeout(PATIENCE, find(connection, &queue));
        let found = check.await.map_err(|_| "the broker does not answer")?;
        self.active_at = Instant::now();
        match found? {
            Some(waiting) => {
                self.is_stale = waiting > 0 || self.delivered_at.elapsed() >= IDLE_RECONNECT;
                Ok(())
            }
            None => Err("broker: the queue is gone".into()),
        }
    }

    fn ready(&mut self) -> Option<(Source, Next)> {
        if let Some(next) = self.dead_letters.ready() {
            return Some((Source::DeadLetters, next));
        }
        if let Some(next) = self.stream.as_mut().and_then(Intake::ready) {
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
        delivery: Next,
        batch: &mut ScheduledBatch,
    ) -> Result<(), String> {
        let delivery = delivery
            .ok_or("broker: the queue is gone")?
            .map_err(reason)?;
        let intake = match source {
            Source::Schedule => Some(&mut self.schedule),
            Source::DeadLetters => Some(&mut self.dead_letters),
            Source::Stream => self.stream.as_mut(),
        };
        if let Some(intake) = intake {
            intake.last = Some(delivery.acker);
        }
        if source == Source::Stream {
            self.offset = dead_letters::offset(&delivery.properties).or(self.offset);
        }
        if source == Source::Schedule
            && let Some(migration) = &mut self.migration
        {
            migration.delivered();
        }
        if is_marker(&delivery.properties) {
            let id = delivery.properties.message_id();
            if let (Some(migration), Some(id)) = (&mut self.migration, id) {
                migration.arrived(id.as_str());
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
            // Nothing takes it out of the stream: it is kept there already.
            Err(_) if source == Source::Stream => {}
            Err(error) => batch.unreadable.push(Unreadable {
                bytes: delivery.data,
                reason: error.to_string(),
            }),
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), String> {
        point("rabbitmq.acknowledging");
        self.dead_letters.settle().await?;
        if let Some(stream) = &mut self.stream {
            stream.settle().await?;
        }
        self.schedule.settle().await
    }

    /// Deletes the queue that has been emptied. Where that fails it is tried again with the
    /// next connection.
    async fn finish_migration(self, target: &Target) {
        if let (Some(migration), Some(connection)) = (&self.migration, &self.connection)
            && let Err(error) = migration.finish(target, connection).await
        {
            tracing::warn!("the schedule queue is not replaced yet: {error}");
        }
    }
}
