//! Stores with a planted bug, around those that have none.

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

/// How long a bug leaves between two halves of what belongs together.
const BETWEEN: Duration = Duration::from_millis(4);

/// A store with a bug.
pub struct Wrong<D: ?Sized> {
    inner: Arc<D>,
    bug: Bug,
    seen: Mutex<HashSet<Uuid>>,
}

/// The store as it is, or with a bug.
pub fn wrong<D: ?Sized>(inner: Arc<D>, bug: Option<Bug>) -> Arc<D>
where
    Wrong<D>: AsDoor<D>,
{
    match bug {
        None => inner,
        Some(bug) => Wrong::<D>::door(Wrong {
            inner,
            bug,
            seen: Mutex::default(),
        }),
    }
}

/// As a door again.
pub trait AsDoor<D: ?Sized> {
    /// Takes it for what it stands for.
    fn door(self) -> Arc<D>;
}

macro_rules! deps {
    ($($door:ty),*) => {
        $(impl AsDoor<$door> for Wrong<$door> {
            fn door(self) -> Arc<$door> {
                Arc::new(self)
            }
        })*
    };
}

deps!(
    dyn EventLog,
    dyn SourceStore,
    dyn PresentationStore,
    dyn RowStore,
    dyn Leases
);

#[async_trait]
impl EventLog for Wrong<dyn EventLog> {
    async fn append_at(
        &self,
        operations: &[Operation],
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError> {
        if self.bug != Bug::DedupWindow {
            return self.inner.append_at(operations, now).await;
        }
        // What it has seen before it takes for new, once its window is over: now.
        let mut fresh = operations.to_vec();
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for operation in &mut fresh {
                if !seen.insert(operation.operation_id) {
                    operation.operation_id = ids::fresh();
                }
            }
        }
        self.inner.append_at(&fresh, now).await
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
impl Progress for Wrong<dyn SourceStore> {
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
impl SourceStore for Wrong<dyn SourceStore> {
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
            // Others have given them, and a verdict is given but once: that guards as well.
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
impl PresentationStore for Wrong<dyn PresentationStore> {
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
        tokio::time::sleep(BETWEEN).await;
        second.from = baking.to;
        second.frames.clear();
        self.inner.commit(&second).await
    }
}

#[async_trait]
impl RowStore for Wrong<dyn RowStore> {
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
                tokio::time::sleep(BETWEEN).await;
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
impl Leases for Wrong<dyn Leases> {
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

/// Where operations are handed in, with a bug.
pub(super) struct WrongEntrance {
    pub(super) inner: Arc<dyn Scheduler>,
    pub(super) bug: Bug,
}

#[async_trait]
impl Scheduler for WrongEntrance {
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError> {
        if self.bug == Bug::Unconfirmed {
            let (inner, operation) = (self.inner.clone(), operation.clone());
            tokio::spawn(async move { inner.schedule(&operation).await });
            return Ok(());
        }
        match self.inner.schedule(operation).await {
            Err(_) if self.bug == Bug::IgnoredRefusal => Ok(()),
            Err(ScheduleError::Unconfirmed(why))
                if self.bug == Bug::SilentDrop && why.contains("no queue") =>
            {
                Ok(())
            }
            outcome => outcome,
        }
    }
}

/// events-writer's end of the queue, with a bug.
pub(super) struct WrongExit {
    pub(super) inner: Box<dyn ScheduleConsumer>,
    pub(super) bug: Bug,
}

#[async_trait]
impl ScheduleConsumer for WrongExit {
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

/// Notifications that are sent as soon as somebody has taken them.
pub(super) struct WrongNotifications {
    pub(super) inner: Arc<dyn Notifications>,
}

#[async_trait]
impl Notifications for WrongNotifications {
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

/// Notices of which, with the bug for it, every third is lost.
pub(super) struct WrongNotices {
    inner: Arc<dyn Notices>,
    published: AtomicU64,
}

impl WrongNotices {
    pub(super) fn around(inner: Arc<dyn Notices>, bug: Bug) -> Arc<dyn Notices> {
        if bug != Bug::LostWakeUp {
            return inner;
        }
        let published = AtomicU64::default();
        Arc::new(Self { inner, published })
    }
}

#[async_trait]
impl Notices for WrongNotices {
    async fn publish(&self, notice: Notice) {
        if self.published.fetch_add(1, Ordering::Relaxed) % 3 != 2 {
            self.inner.publish(notice).await;
        }
    }

    async fn subscribe(&self, topic: Topic) -> Box<dyn NoticeStream> {
        self.inner.subscribe(topic).await
    }
}
