//! Replacement of a schedule queue in an earlier form. The broker refuses to change the
//! arguments of a queue, so another one takes its place for a moment:
//!
//! 1. the moving queue is bound to the exchange, then the old queue is unbound;
//! 2. the old queue is emptied into the log, and deleted;
//! 3. the schedule queue is declared in its current form and bound, the moving queue is unbound;
//! 4. the moving queue is emptied into the log, and deleted.
//!
//! Only the active consumer does this: events-writers of the earlier version go on as long as
//! they are there, and this one stands by. Publishers of either version reach whichever queue
//! is bound. What is bound twice for a moment arrives twice, which the log drops. Each step can
//! be repeated; a writer that is killed in between is followed by one that sees what exists.
//!
//! That a queue is empty is known by a marker: a message that the writer sends to it and
//! receives from it. Two of them, a while apart, for what was routed just before the queue
//! was unbound.

use std::time::Duration;

use bakehouse_engine::model::ids;
use lapin::Connection;
use lapin::options::QueueDeleteOptions;
use tokio::time::Instant;

use crate::connection::{Target, reason};
use crate::publisher::{Message, Publisher};
use crate::topology::{Form, declare_queue, find};

/// Interval at which an unfinished replacement is looked at.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// Time after which an idle writer asks with a marker whether it is the active consumer.
const IDLE: Duration = Duration::from_secs(5);
/// Interval at which it asks again.
const ASK_INTERVAL: Duration = Duration::from_secs(60);
/// Time after which a marker that has not arrived is sent again.
const MARKER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time between the two markers that show that a queue is empty.
const GRACE: Duration = Duration::from_secs(1);

/// Replacement in progress, of the queue that is consumed.
pub(crate) struct Migration {
    queue: String,
    /// True if that is the old queue, rather than the moving queue.
    is_old: bool,
    stage: Stage,
    marker: String,
    /// Time at which the next marker is due.
    due: Instant,
}

enum Stage {
    /// It is not known whether this is the active consumer.
    Standby,
    /// It is, and the queue is to be unbound.
    Active,
    /// The queue is unbound; the first marker is in it.
    Draining,
    /// The first marker has arrived.
    Grace,
    /// The second has.
    Drained,
}

impl Migration {
    /// Decides which queue a writer consumes first, and what has to be done about it.
    pub(crate) async fn find(
        target: &Target,
        connection: &Connection,
        form: Form,
    ) -> Result<Option<Self>, String> {
        if form == Form::Earlier {
            tracing::warn!(
                "the queue {} has the arguments of an earlier version; it is replaced as soon as \
                 no events-writer of that version consumes it",
                target.schedule_queue()
            );
            return Ok(Some(Self {
                queue: target.schedule_queue(),
                is_old: true,
                stage: Stage::Standby,
                marker: ids::fresh().to_string(),
                due: Instant::now() + IDLE,
            }));
        }
        let queue = target.moving_queue();
        if find(connection, &queue).await?.is_none() {
            return Ok(None);
        }
        // The schedule queue is bound: connecting has declared it.
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

    /// Queue that is consumed meanwhile.
    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }

    /// Takes note of a delivery: this is the active consumer.
    pub(crate) fn delivered(&mut self) {
        if matches!(self.stage, Stage::Standby) {
            self.stage = Stage::Active;
        }
    }

    /// Takes note of a marker.
    pub(crate) fn arrived(&mut self, marker: &str) {
        if marker != self.marker {
            return;
        }
        match self.stage {
            Stage::Draining => {
                self.stage = Stage::Grace;
                self.marker = ids::fresh().to_string();
                self.due = Instant::now() + GRACE;
            }
            Stage::Grace => self.stage = Stage::Drained,
            Stage::Standby | Stage::Active | Stage::Drained => {}
        }
    }

    /// Does what is due.
    pub(crate) async fn step(
        &mut self,
        target: &Target,
        connection: &Connection,
        publisher: &Publisher,
    ) -> Result<(), String> {
        if matches!(self.stage, Stage::Active) {
            self.move_place(target, connection).await?;
            self.stage = Stage::Draining;
            self.marker = ids::fresh().to_string();
            self.due = Instant::now();
        }
        if Instant::now() < self.due || matches!(self.stage, Stage::Drained) {
            return Ok(());
        }
        let next = match self.stage {
            Stage::Standby => ASK_INTERVAL,
            _ => MARKER_TIMEOUT,
        };
        self.due = Instant::now() + next;
        let marker = Message::marker(self.queue.clone(), &self.marker);
        let publisher = publisher.clone();
        // Not awaited: a broker that takes no messages must not stop what goes on meanwhile.
        tokio::spawn(async move {
            if let Err(error) = publisher.publish_durably(marker).await {
                tracing::debug!("a marker could not be sent: {error}");
            }
        });
        Ok(())
    }

    /// Has the moving queue take the old queue's place at the exchange.
    async fn move_place(&self, target: &Target, connection: &Connection) -> Result<(), String> {
        tracing::info!("replacing the queue {}", self.queue);
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

    /// Tells whether everything of the queue has been received.
    pub(crate) fn is_drained(&self) -> bool {
        matches!(self.stage, Stage::Drained)
    }

    /// Deletes the queue once everything of it is settled, and declares what follows it.
    pub(crate) async fn finish(
        &self,
        target: &Target,
        connection: &Connection,
    ) -> Result<(), String> {
        if self.is_old && target.declare_schedule(connection).await? == Form::Current {
            // Somebody has deleted it, and what is there now is the new one.
            return Ok(());
        }
        match find(connection, &self.queue).await? {
            None => {}
            Some(0) => {
                let channel = connection.create_channel().await.map_err(reason)?;
                let options = QueueDeleteOptions::default();
                let deleted = channel.queue_delete(self.queue.as_str().into(), options);
                deleted.await.map_err(reason)?;
                tracing::info!("the queue {} is empty and deleted", self.queue);
            }
            Some(left) => {
                let queue = &self.queue;
                return Err(format!(
                    "{left} more messages have come into the queue {queue}"
                ));
            }
        }
        target.declare(connection).await.map(|_| ())
    }
}
