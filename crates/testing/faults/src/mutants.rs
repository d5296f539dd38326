//! Decorators with a planted bug. Each has the bug of its name in every call that it overrides.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::handlers::Needs;
use bakehouse_engine::model::ids;
use bakehouse_engine::model::notification::Attempt;
use bakehouse_engine::ports::{
    Appended, Baking, Claim, EventLog, Execution, HandlerCommit, Lease, Leases, Notice, Notices,
    Notifications, PresentationStore, RowStore, ScheduleConsumer, ScheduleError, ScheduledBatch,
    Scheduler, Settled, SourceStore, StoreError, UnreadableMessage,
};
use bakehouse_engine::{Notification, Operation, Timestamp};
use uuid::Uuid;

use crate::bug::Bug;
use crate::intercept::Interceptor;
use crate::ports::{
    EventLogHooks, LeasesHooks, NoticesHooks, NotificationsHooks, PresentationStoreHooks,
    ProgressHooks, RowStoreHooks, SourceStoreHooks,
};

/// Time between the two parts of a commit that a bug splits.
const SPLIT_DELAY: Duration = Duration::from_millis(4);

/// Log that stores an operation again under another identity: [`Bug::DedupWindow`].
#[derive(Default)]
pub struct DedupWindow {
    seen: Mutex<HashSet<Uuid>>,
}

impl Interceptor for DedupWindow {}

#[async_trait]
impl EventLogHooks for DedupWindow {
    async fn append_at(
        &self,
        inner: &Arc<dyn EventLog>,
        operations: &[Operation],
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError> {
        let mut fresh = operations.to_vec();
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for operation in &mut fresh {
                if !seen.insert(operation.operation_id) {
                    operation.operation_id = ids::fresh();
                }
            }
        }
        inner.append_at(&fresh, now).await
    }
}

/// Source state that commits at any checkpoint: [`Bug::NoFence`].
pub struct NoFence;

impl Interceptor for NoFence {}

impl ProgressHooks for NoFence {}

#[async_trait]
impl SourceStoreHooks for NoFence {
    async fn commit(
        &self,
        inner: &Arc<dyn SourceStore>,
        execution: &Execution,
    ) -> Result<(), StoreError> {
        let mut forged = execution.clone();
        forged.from = inner.checkpoint().await?;
        if forged.from != execution.from {
            // Another instance has written these verdicts. A second verdict would be refused,
            // which fences as well.
            forged.verdicts.clear();
            forged.resolved.clear();
        }
        let ids: Vec<&str> = execution
            .entities
            .iter()
            .map(|write| write.record.id.as_str())
            .collect();
        let known = inner.load(&ids).await?;
        for write in &mut forged.entities {
            write.expected = known.get(&write.record.id).map(|record| record.position);
        }
        inner.commit(&forged).await
    }
}

/// Presentation that commits its checkpoint first: [`Bug::CheckpointBeforeDocuments`].
pub struct CheckpointBeforeDocuments;

impl Interceptor for CheckpointBeforeDocuments {}

#[async_trait]
impl PresentationStoreHooks for CheckpointBeforeDocuments {
    async fn commit(
        &self,
        inner: &Arc<dyn PresentationStore>,
        baking: &Baking,
    ) -> Result<(), StoreError> {
        let (mut first, mut second) = (baking.clone(), baking.clone());
        first.documents.clear();
        inner.commit(&first).await?;
        tokio::time::sleep(SPLIT_DELAY).await;
        second.from = baking.to;
        second.frames.clear();
        inner.commit(&second).await
    }
}

/// Rows that are written after the position in the feed: [`Bug::CheckpointBeforeRows`].
pub struct CheckpointBeforeRows;

impl Interceptor for CheckpointBeforeRows {}

#[async_trait]
impl RowStoreHooks for CheckpointBeforeRows {
    async fn commit(
        &self,
        inner: &Arc<dyn RowStore>,
        commit: &HandlerCommit,
    ) -> Result<(), StoreError> {
        let mut forged = commit.clone();
        let rows = std::mem::take(&mut forged.rows);
        inner.commit(&forged).await?;
        tokio::time::sleep(SPLIT_DELAY).await;
        forged.from = commit.to;
        forged.revision += 1;
        forged.rows = rows;
        inner.commit(&forged).await
    }
}

/// Rows that are written at any revision: [`Bug::NoRevision`].
pub struct NoRevision;

impl Interceptor for NoRevision {}

#[async_trait]
impl RowStoreHooks for NoRevision {
    async fn commit(
        &self,
        inner: &Arc<dyn RowStore>,
        commit: &HandlerCommit,
    ) -> Result<(), StoreError> {
        let mut forged = commit.clone();
        let current = inner.load(&commit.generation, &Needs::nothing()).await?;
        forged.revision = current.revision;
        inner.commit(&forged).await
    }
}

/// Leases that every instance has: [`Bug::TwoLeaders`].
pub struct SharedLeases;

impl Interceptor for SharedLeases {}

#[async_trait]
impl LeasesHooks for SharedLeases {
    async fn acquire(
        &self,
        _: &Arc<dyn Leases>,
        _: &str,
        holder: &str,
        _: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let holder = holder.to_owned();
        Ok(Some(Lease { holder, epoch: 1 }))
    }

    async fn renew(
        &self,
        _: &Arc<dyn Leases>,
        _: &str,
        _: &Lease,
        _: Duration,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }
}

/// Notifications that count as sent as soon as they are claimed: [`Bug::SettledBeforeSent`].
pub struct SettledBeforeSent;

impl Interceptor for SettledBeforeSent {}

#[async_trait]
impl NotificationsHooks for SettledBeforeSent {
    async fn take(
        &self,
        inner: &Arc<dyn Notifications>,
        lane: &str,
        claim: Claim,
    ) -> Result<Vec<Notification>, StoreError> {
        let claimed = inner.take(lane, claim).await?;
        let sent = |notification: &Notification| Settled {
            id: notification.id,
            attempt: notification.attempts,
            outcome: Attempt::Sent { at: claim.now },
        };
        let sent: Vec<Settled> = claimed.iter().map(sent).collect();
        inner.settle(&sent).await?;
        Ok(claimed)
    }

    async fn settle(&self, _: &Arc<dyn Notifications>, _: &[Settled]) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Notices of which every third is lost: [`Bug::LostWakeUp`].
#[derive(Default)]
pub struct LostNotices {
    published: AtomicU64,
}

impl Interceptor for LostNotices {}

#[async_trait]
impl NoticesHooks for LostNotices {
    async fn publish(&self, inner: &Arc<dyn Notices>, notice: Notice) {
        if self.published.fetch_add(1, Ordering::Relaxed) % 3 != 2 {
            inner.publish(notice).await;
        }
    }
}

/// Schedule queue at its entrance, with [`Bug::Unconfirmed`], [`Bug::IgnoredRefusal`] or
/// [`Bug::SilentDrop`].
pub(crate) struct FaultyScheduler {
    pub(crate) inner: Arc<dyn Scheduler>,
    pub(crate) bug: Bug,
}

#[async_trait]
impl Scheduler for FaultyScheduler {
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

/// Schedule queue at its end, with [`Bug::AckBeforeInsert`] or [`Bug::RequeueAtTheEnd`].
pub(crate) struct FaultyQueue {
    pub(crate) inner: Box<dyn ScheduleConsumer>,
    pub(crate) bug: Bug,
}

#[async_trait]
impl ScheduleConsumer for FaultyQueue {
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
