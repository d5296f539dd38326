//! Migration of a schedule queue of an earlier version. The broker refuses to change the arguments
//! of a queue, so another queue stands in for it temporarily:
//!
//! 1. the moving queue is bound to the exchange, then the old queue is unbound;
//! 2. the old queue is emptied into the log, and deleted;
//! 3. the schedule queue is declared in its current form and bound, the moving queue is unbound;
//! 4. the moving queue is emptied into the log, and deleted.
//!
//! Only the active consumer migrates: as long as an events-writer of the earlier version is active,
//! this one stands by. Publishers of either version reach the queue that is bound. While both
//! queues are bound, operations arrive twice, and the log drops the duplicates. Each step can be
//! repeated; the successor of a killed writer continues from the queues that exist.
//!
//! A marker shows that a queue is empty: a message that the writer sends to the queue and receives
//! from it. A second one, sent later, covers messages that were routed just before the queue was
//! unbound.

use std::time::Duration;

use bakehouse_engine::model::ids;
use lapin::Connection;
use lapin::options::QueueDeleteOptions;
use tokio::time::Instant;

use crate::connection::{Target, reason};
use crate::publisher::{Message, Publisher};
use crate::topology::{Form, declare_queue, message_count};

/// Interval between steps of an unfinished migration.
pub(crate) const STEP_INTERVAL: Duration = Duration::from_millis(250);
/// Time after which an idle writer sends a marker to find out whether it is the active consumer.
const STANDBY_PROBE_DELAY: Duration = Duration::from_secs(5);
/// Interval at which an idle writer repeats that marker.
const STANDBY_PROBE_INTERVAL: Duration = Duration::from_secs(60);
/// Time after which a marker that has not arrived is sent again.
const MARKER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between the two markers that show that a queue is empty.
const SECOND_MARKER_DELAY: Duration = Duration::from_secs(1);

/// Migration in progress.
pub(crate) struct Migration {
    /// Queue that is consumed and then deleted.
    queue: String,
    /// True if that is the old queue, false if it is the moving queue.
    is_old: bool,
    stage: Stage,
    /// Id of the next marker, or of the one on its way.
    marker: String,
    /// Time at which the next marker is sent.
    due: Instant,
}

/// Progress of a migration.
enum Stage {
    /// Unknown whether this is the active consumer.
    Standby,
    /// This is the active consumer; the queue must be unbound.
    Active,
    /// The queue is unbound; the first marker is in it.
    Draining,
    /// The first marker has arrived; the second one follows after a delay.
    FirstMarkerArrived,
    /// The second marker has arrived.
    Drained,
}

impl Migration {
    /// Returns the migration that the existing queues require, if any.
    pub(crate) async fn detect(
        target: &Target,
        connection: &Connection,
        form: Form,
    ) -> Result<Option<Self>, String> {
        if form == Form::Earlier {
            tracing::warn!(
                "queue {}: declared by an earlier version; it will be replaced once no \
                 events-writer of that version consumes it",
                target.schedule_queue()
            );
            return Ok(Some(Self {
                queue: target.schedule_queue(),
                is_old: true,
                stage: Stage::Standby,
                marker: ids::fresh().to_string(),
                due: Instant::now() + STANDBY_PROBE_DELAY,
            }));
        }
        let queue = target.moving_queue();
        if message_count(connection, &queue).await?.is_none() {
            return Ok(None);
        }
        // The schedule queue is bound: connecting has declared and bound it.
        let channel = connection.create_channel().await.map_err(reason)?;
        target.unbind(&channel, &queue).await.map_err(reason)?;
        Ok(Some(Self {
            queue,
            is_old: false,
            stage: Stage::Draining,
            marker: ids::fresh().to_string(),
            due: Instant::now(),
        }))
    }

    /// Returns the queue to consume during the migration.
    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }

    /// Records a delivery, which shows that this is the active consumer.
    pub(crate) fn note_delivery(&mut self) {
        if matches!(self.stage, Stage::Standby) {
            self.stage = Stage::Active;
        }
    }

    /// Records the arrival of a marker.
    pub(crate) fn note_marker(&mut self, marker: &str) {
        if marker != self.marker {
            return;
        }
        match self.stage {
            Stage::Draining => {
                self.stage = Stage::FirstMarkerArrived;
                self.marker = ids::fresh().to_string();
                self.due = Instant::now() + SECOND_MARKER_DELAY;
            }
            Stage::FirstMarkerArrived => self.stage = Stage::Drained,
            Stage::Standby | Stage::Active | Stage::Drained => {}
        }
    }

    /// Does the steps that are due.
    ///
    /// # Errors
    /// A text for an operator.
    pub(crate) async fn step(
        &mut self,
        target: &Target,
        connection: &Connection,
        publisher: &Publisher,
    ) -> Result<(), String> {
        if matches!(self.stage, Stage::Active) {
            self.bind_moving_queue(target, connection).await?;
            self.stage = Stage::Draining;
            self.marker = ids::fresh().to_string();
            self.due = Instant::now();
        }
        if Instant::now() < self.due || matches!(self.stage, Stage::Drained) {
            return Ok(());
        }
        let next = match self.stage {
            Stage::Standby => STANDBY_PROBE_INTERVAL,
            _ => MARKER_TIMEOUT,
        };
        self.due = Instant::now() + next;
        let marker = Message::marker(self.queue.clone(), &self.marker);
        let publisher = publisher.clone();
        // Not awaited: consuming must continue even if the broker accepts no messages.
        tokio::spawn(async move {
            if let Err(error) = publisher.publish_durably(marker).await {
                tracing::debug!("cannot send a marker: {error}");
            }
        });
        Ok(())
    }

    /// Binds the moving queue to the exchange, and unbinds the old queue.
    async fn bind_moving_queue(
        &self,
        target: &Target,
        connection: &Connection,
    ) -> Result<(), String> {
        tracing::info!("replacing queue {}", self.queue);
        let channel = connection.create_channel().await.map_err(reason)?;
        let moving = target.moving_queue();
        let arguments = target.schedule_arguments();
        let declared = declare_queue(&channel, moving.clone(), arguments).await;
        declared.map_err(reason)?;
        target.bind(&channel, &moving).await.map_err(reason)?;
        target.unbind(&channel, &self.queue).await.map_err(reason)?;
        let _ = channel.close(200, "done".into()).await;
        Ok(())
    }

    /// Returns whether every message of the queue has been received.
    pub(crate) fn is_drained(&self) -> bool {
        matches!(self.stage, Stage::Drained)
    }

    /// Deletes the queue, whose messages must be settled, and declares its successor.
    ///
    /// # Errors
    /// A text for an operator, for example if new messages have arrived.
    pub(crate) async fn finish(
        &self,
        target: &Target,
        connection: &Connection,
    ) -> Result<(), String> {
        if self.is_old && target.declare_schedule(connection).await? == Form::Current {
            // The old queue was deleted by others, and this one is its successor.
            return Ok(());
        }
        match message_count(connection, &self.queue).await? {
            None => {}
            Some(0) => {
                let channel = connection.create_channel().await.map_err(reason)?;
                let options = QueueDeleteOptions::default();
                let deleted = channel.queue_delete(self.queue.as_str().into(), options);
                deleted.await.map_err(reason)?;
                tracing::info!("queue {} is empty and deleted", self.queue);
            }
            Some(count) => {
                let queue = &self.queue;
                return Err(format!("queue {queue}: {count} new messages"));
            }
        }
        target.declare(connection).await.map(|_| ())
    }
}
