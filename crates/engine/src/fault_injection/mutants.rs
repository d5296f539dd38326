//! Decorators that plant a bug in a store or queue.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::bug::Bug;
use crate::handlers::{Generation, Needs};
use crate::model::ids;
use crate::model::notification::Attempt;
use crate::ports::{
    Appended, Baking, Checkpoint, Claim, EventLog, Execution, Feed, HandlerCommit, Lease, Leases,
    Loaded, Notice, NoticeStream, Notices, Notifications, PresentationStore, Progress, Recording,
    Registration, RowStore, ScheduleConsumer, ScheduleError, ScheduledBatch, Scheduler, Settled,
    SourceStore, StoreError, SummaryQuery, Topic, UnreadableMessage,
};
use crate::{EntityRecord, LogEntry, Notification, Operation, Position, Timestamp};

/// Pause between the two parts of a commit that a bug splits.
const SPLIT_DELAY: Duration = Duration::from_millis(4);

/// Store with a planted bug.
pub struct Mutant<D: ?Sized> {
    inner: Arc<D>,
    bug: Bug,
    seen: Mutex<HashSet<Uuid>>,
}

/// Returns the store unchanged, or decorated with the bug.
pub fn with_bug<D: ?Sized>(inner: Arc<D>, bug: Option<Bug>) -> Arc<D>
where
    Mutant<D>: IntoPort<D>,
{
    match bug {
        None => inner,
        Some(bug) => Mutant::<D>::into_port(Mutant {
            inner,
            bug,
            seen: Mutex::default(),
        }),
    }
}

/// Conversion of a decorator into the port that it implements.
pub trait IntoPort<D: ?Sized> {
    /// Converts the decorator into a trait object.
    fn into_port(self) -> Arc<D>;
}

macro_rules! into_port {
    ($($port:ty),*) => {
        $(impl IntoPort<$port> for Mutant<$port> {
            fn into_port(self) -> Arc<$port> {
                Arc::new(self)
            }
        })*
    };
}

into_port!(
    dyn EventLog,
    dyn SourceStore,
    dyn PresentationStore,
    dyn RowStore,
    dyn Leases
);

#[async_trait]
impl EventLog for Mutant<dyn EventLog> {
    async fn append_at(
        &self,
        operations: &[Operation],
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError> {
        if self.bug != Bug::DedupWindow {
            return self.inner.append_at(operations, now).await;
        }
        // A known identity counts as new: the deduplication window is over at once.
        let mut renamed = operations.to_vec();
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for operation in &mut renamed {
                if !seen.insert(operation.operation_id) {
                    operation.operation_id = ids::fresh();
                }
            }
        }
        self.inner.append_at(&renamed, now).await
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        self.inner.read(after, limit).await
    }

    async fn history(
        &self,
        entity_id: &str,
        after: Position,
        up_to: Position,
    ) -> Result<Vec<LogEntry>, StoreError> {
        self.inner.history(entity_id, after, up_to).await
    }

    async fn find(&self, operation_id: Uuid) -> Result<Option<LogEntry>, StoreError> {
        self.inner.find(operation_id).await
    }

    async fn ever_parked(&self, entity_ids: &[&str]) -> Result<Vec<LogEntry>, StoreError> {
        self.inner.ever_parked(entity_ids).await
    }

    async fn summaries(&self, query: &SummaryQuery<'_>) -> Result<Vec<LogEntry>, StoreError> {
        self.inner.summaries(query).await
    }

    async fn executed(
        &self,
        entity_id: &str,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        self.inner.executed(entity_id, after, up_to, limit).await
    }

    async fn parked(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        self.inner.parked(after, limit).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.inner.head().await
    }

    async fn epoch(&self) -> Result<String, StoreError> {
        self.inner.epoch().await
    }
}

#[async_trait]
impl Progress for Mutant<dyn SourceStore> {
    async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.inner.checkpoint().await
    }

    async fn snapshots(
        &self,
        ids: &[&str],
        up_to: Position,
    ) -> Result<HashMap<String, EntityRecord>, StoreError> {
        self.inner.snapshots(ids, up_to).await
    }
}

#[async_trait]
impl SourceStore for Mutant<dyn SourceStore> {
    async fn load(&self, ids: &[&str]) -> Result<HashMap<String, EntityRecord>, StoreError> {
        self.inner.load(ids).await
    }

    async fn commit(&self, execution: &Execution) -> Result<(), StoreError> {
        if ![Bug::NoFence, Bug::TwoLeaders].contains(&self.bug) {
            return self.inner.commit(execution).await;
        }
        let mut forged = execution.clone();
        forged.from = self.inner.checkpoint().await?;
        if forged.from != execution.from {
            // Another instance has set these verdicts; setting them again would be fenced, too.
            forged.verdicts.clear();
            forged.settlements.clear();
        }
        let ids: Vec<&str> = execution
            .entities
            .iter()
            .map(|write| write.record.id.as_str())
            .collect();
        let known = self.inner.load(&ids).await?;
        for write in &mut forged.entities {
            write.expected = known.get(&write.record.id).map(|record| record.position);
        }
        self.inner.commit(&forged).await
    }
}

#[async_trait]
impl PresentationStore for Mutant<dyn PresentationStore> {
    async fn open(&self, epoch: &str) -> Result<Position, StoreError> {
        self.inner.open(epoch).await
    }

    async fn commit(&self, baking: &Baking) -> Result<(), StoreError> {
        if self.bug != Bug::CheckpointBeforeDocuments {
            return self.inner.commit(baking).await;
        }
        let (mut first, mut second) = (baking.clone(), baking.clone());
        first.documents.clear();
        self.inner.commit(&first).await?;
        tokio::time::sleep(SPLIT_DELAY).await;
        second.from = baking.to;
        second.frames.clear();
        self.inner.commit(&second).await
    }
}

#[async_trait]
impl RowStore for Mutant<dyn RowStore> {
    async fn open(
        &self,
        generation: &Generation,
        feed: &Feed<'_>,
        start: Position,
    ) -> Result<Position, StoreError> {
        self.inner.open(generation, feed, start).await
    }

    async fn load(&self, generation: &Generation, needs: &Needs) -> Result<Loaded, StoreError> {
        self.inner.load(generation, needs).await
    }

    async fn commit(&self, handling: &HandlerCommit) -> Result<(), StoreError> {
        let mut forged = handling.clone();
        match self.bug {
            Bug::CheckpointBeforeRows => {
                let rows = std::mem::take(&mut forged.rows);
                self.inner.commit(&forged).await?;
                tokio::time::sleep(SPLIT_DELAY).await;
                forged.from = handling.to;
                forged.revision += 1;
                forged.rows = rows;
            }
            Bug::NoRevision => {
                let now = self
                    .inner
                    .load(&handling.generation, &Needs::nothing())
                    .await?;
                forged.revision = now.revision;
            }
            _ => {}
        }
        self.inner.commit(&forged).await
    }

    async fn register(&self, name: &str, version: u32) -> Result<Registration, StoreError> {
        self.inner.register(name, version).await
    }

    async fn promote(&self, generation: &Generation) -> Result<(), StoreError> {
        self.inner.promote(generation).await
    }
}

#[async_trait]
impl Leases for Mutant<dyn Leases> {
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        if self.bug == Bug::TwoLeaders {
            let holder = holder.to_owned();
            return Ok(Some(Lease { holder, epoch: 1 }));
        }
        self.inner.acquire(name, holder, time_to_live).await
    }

    async fn renew(
        &self,
        name: &str,
        lease: &Lease,
        time_to_live: Duration,
    ) -> Result<bool, StoreError> {
        if self.bug == Bug::TwoLeaders {
            return Ok(true);
        }
        self.inner.renew(name, lease, time_to_live).await
    }

    async fn release(&self, name: &str, lease: &Lease) -> Result<(), StoreError> {
        self.inner.release(name, lease).await
    }
}

/// Scheduler with a planted bug.
pub(super) struct SchedulerMutant {
    pub(super) inner: Arc<dyn Scheduler>,
    pub(super) bug: Bug,
}

#[async_trait]
impl Scheduler for SchedulerMutant {
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError> {
        if self.bug == Bug::Unconfirmed {
            let (inner, operation) = (self.inner.clone(), operation.clone());
            tokio::spawn(async move { inner.schedule(&operation).await });
            return Ok(());
        }
        match self.inner.schedule(operation).await {
            Err(_) if self.bug == Bug::IgnoredRefusal => Ok(()),
            Err(ScheduleError::Unconfirmed(reason))
                if self.bug == Bug::SilentDrop && reason.contains("no queue") =>
            {
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// Consumer of the schedule queue with a planted bug.
pub(super) struct ConsumerMutant {
    pub(super) inner: Box<dyn ScheduleConsumer>,
    pub(super) bug: Bug,
}

#[async_trait]
impl ScheduleConsumer for ConsumerMutant {
    async fn receive(&mut self, max: usize) -> Result<ScheduledBatch, StoreError> {
        let mut batch = self.inner.receive(max).await?;
        match self.bug {
            Bug::AckBeforeInsert => self.inner.settle().await?,
            Bug::RequeueAtTheEnd if batch.operations.len() > 1 => batch.operations.rotate_left(1),
            _ => {}
        }
        Ok(batch)
    }

    async fn receive_now(&mut self, max: usize) -> Result<ScheduledBatch, StoreError> {
        self.inner.receive_now(max).await
    }

    async fn park(&mut self, message: &UnreadableMessage) -> Result<(), StoreError> {
        self.inner.park(message).await
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        match self.bug {
            Bug::AckBeforeInsert => Ok(()),
            _ => self.inner.settle().await,
        }
    }
}

/// Record of notifications that marks them as sent as soon as they are taken.
pub(super) struct NotificationsMutant {
    pub(super) inner: Arc<dyn Notifications>,
}

#[async_trait]
impl Notifications for NotificationsMutant {
    async fn open(&self, epoch: &str, start: Position) -> Result<Position, StoreError> {
        self.inner.open(epoch, start).await
    }

    async fn record(&self, recording: &Recording) -> Result<(), StoreError> {
        self.inner.record(recording).await
    }

    async fn take(&self, lane: &str, claim: Claim) -> Result<Vec<Notification>, StoreError> {
        let taken = self.inner.take(lane, claim).await?;
        let sent = |notification: &Notification| Settled {
            id: notification.id,
            attempt: notification.attempts,
            outcome: Attempt::Sent { at: claim.now },
        };
        let sent: Vec<Settled> = taken.iter().map(sent).collect();
        self.inner.settle(&sent).await?;
        Ok(taken)
    }

    async fn settle(&self, _: &[Settled]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn of(&self, entity_id: &str) -> Result<Vec<Notification>, StoreError> {
        self.inner.of(entity_id).await
    }
}

/// Notices of which every third is lost.
pub(super) struct NoticesMutant {
    inner: Arc<dyn Notices>,
    published: AtomicU64,
}

impl NoticesMutant {
    /// Decorates the notices if the bug loses some; returns them unchanged otherwise.
    pub(super) fn wrap(inner: Arc<dyn Notices>, bug: Bug) -> Arc<dyn Notices> {
        if bug != Bug::LostWakeUp {
            return inner;
        }
        let published = AtomicU64::default();
        Arc::new(Self { inner, published })
    }
}

#[async_trait]
impl Notices for NoticesMutant {
    async fn publish(&self, notice: Notice) {
        if self.published.fetch_add(1, Ordering::Relaxed) % 3 != 2 {
            self.inner.publish(notice).await;
        }
    }

    async fn subscribe(&self, topic: Topic) -> Box<dyn NoticeStream> {
        self.inner.subscribe(topic).await
    }
}
