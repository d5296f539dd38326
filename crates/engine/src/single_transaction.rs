//! Single-transaction mode (`synchronous`): all effects of an operation are committed in one
//! transaction before it is answered: its log entry, its execution, documents and frames, rows of
//! read models, and state, commands and notifications of processes. If any of it fails, the
//! transaction is rolled back and the caller gets an error.
//!
//! Operations are submitted through a [`Scheduler`], so that the code that accepts operations is
//! the same in every mode. Operations that arrive during a transaction share the next one. If that
//! fails, each is retried in a transaction of its own, so that one failure does not affect others.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::backoff::Backoff;
use crate::handlers::own_feed::OwnFeed;
use crate::handlers::process_runner::ProcessRunner;
use crate::handlers::projector::Projector;
use crate::handlers::runner::{HandlerDeps, HandlerRunner};
use crate::handlers::{AnyHandler, Feeds};
use crate::ports::{
    EventLog, FeedSource, Leases, Notice, NoticeStream, Notices, PresentationStore,
    ScheduleConsumer, ScheduleError, Scheduler, ShadowStores, SourceStore, StoreError, Topic,
    UnitOfWork, UnitsOfWork,
};
use crate::rebuild::{POLL_INTERVAL, RebuildRunner};
use crate::stages::baker::{Baker, BakerDeps};
use crate::stages::manager::{Manager, ManagerDeps};
use crate::stages::runner::Stage;
use crate::stages::writer;
use crate::{Domain, EntryStatus, Operation, Position, Shutdown};

/// Maximum number of waiting operations; further ones are refused.
const QUEUE_CAPACITY: usize = 1_024;
/// Maximum number of operations in one transaction.
const MAX_GROUP: usize = 100;
/// Maximum number of log entries or feed events in one batch of a transaction.
const MAX_BATCH: usize = 500;
/// Maximum number of iterations in which commands of processes may lead to further commands
/// within one transaction.
const MAX_ITERATIONS: usize = 1_000;

/// Dependencies of the single-transaction engine.
pub struct SingleTransactionDeps {
    /// Transactions over all stores.
    pub units: Arc<dyn UnitsOfWork>,
    /// Log outside of transactions: catching up and rebuilds.
    pub log: Arc<dyn EventLog>,
    /// Source state outside of transactions.
    pub source: Arc<dyn SourceStore>,
    /// Presentation outside of transactions.
    pub presentation: Arc<dyn PresentationStore>,
    /// Dependencies of read models outside of transactions.
    pub follow: HandlerDeps,
    /// Rebuilds of the source state.
    pub source_rebuilds: Arc<dyn ShadowStores<dyn SourceStore>>,
    /// Rebuilds of the presentation.
    pub presentation_rebuilds: Arc<dyn ShadowStores<dyn PresentationStore>>,
    /// Unused in this mode; required by the stages' dependencies.
    pub leases: Arc<dyn Leases>,
    /// Notices of committed changes.
    pub notices: Arc<dyn Notices>,
    /// Read models that follow only the domain's own feed. Those that are behind or being rebuilt
    /// must be updated by a separate runner.
    pub read_models: Vec<AnyHandler>,
    /// Process managers that follow only the domain's own feed. Those that are behind must be
    /// updated by a separate runner.
    pub processes: Vec<AnyHandler>,
}

/// An operation, and the channel of its result.
type Submission = (Operation, oneshot::Sender<Result<(), ScheduleError>>);

/// Scheduler that submits operations to the engine and waits for their result.
struct SubmitQueue(mpsc::Sender<Submission>);

#[async_trait]
impl Scheduler for SubmitQueue {
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError> {
        let (result_sender, result) = oneshot::channel();
        let queued = self.0.try_send((operation.clone(), result_sender));
        queued.map_err(|_| ScheduleError::Unconfirmed("submit queue full or closed".into()))?;
        let shutting_down = |_| ScheduleError::Unconfirmed("shutting down".into());
        result.await.map_err(shutting_down)?
    }
}

/// Engine that executes submitted operations, one transaction after the other.
pub struct SingleTransactionEngine<D> {
    deps: SingleTransactionDeps,
    queue: mpsc::Receiver<Submission>,
    domain: std::marker::PhantomData<fn() -> D>,
}

impl<D: Domain> SingleTransactionEngine<D> {
    /// Creates the engine, and the scheduler that submits operations to it.
    #[must_use]
    pub fn new(deps: SingleTransactionDeps) -> (Self, Arc<dyn Scheduler>) {
        let (sender, queue) = mpsc::channel(QUEUE_CAPACITY);
        let engine = Self {
            deps,
            queue,
            domain: std::marker::PhantomData,
        };
        (engine, Arc::new(SubmitQueue(sender)))
    }

    /// Runs until shutdown. First completes the work that another mode has left in the log and in
    /// `backlog`, then executes submitted operations.
    pub async fn run(mut self, mut backlog: Box<dyn ScheduleConsumer>, shutdown: Shutdown) {
        let mut backoff = Backoff::default();
        while let Err(error) = self.catch_up(backlog.as_mut(), &shutdown).await {
            tracing::warn!("catching up failed, will be retried: {error}");
            backoff.wait(&shutdown).await;
            if shutdown.is_cancelled() {
                return;
            }
        }
        let mut group = Vec::new();
        let mut rebuild_stages = self.stages(
            Some(self.deps.source_rebuilds.clone()),
            Some(self.deps.presentation_rebuilds.clone()),
        );
        let mut due = Instant::now() + POLL_INTERVAL;
        loop {
            let count = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                count = self.queue.recv_many(&mut group, MAX_GROUP) => Some(count),
                () = sleep_until(due) => None,
            };
            if count == Some(0) {
                // All senders are gone.
                return shutdown.cancelled().await;
            }
            self.execute_group(std::mem::take(&mut group)).await;
            // A rebuild advances even if operations arrive all the time.
            if Instant::now() >= due {
                let has_more = rebuild_stages.advance_rebuilds().await;
                let pause = if has_more {
                    Duration::ZERO
                } else {
                    POLL_INTERVAL
                };
                due = Instant::now() + pause;
            }
        }
    }

    /// Creates the stages that work outside of transactions.
    fn stages(
        &self,
        source: Option<Arc<dyn ShadowStores<dyn SourceStore>>>,
        presentation: Option<Arc<dyn ShadowStores<dyn PresentationStore>>>,
    ) -> Stages<D> {
        let deps = &self.deps;
        let manager = ManagerDeps {
            log: deps.log.clone(),
            source: deps.source.clone(),
            leases: deps.leases.clone(),
            notices: deps.notices.clone(),
            rebuilds: source,
        };
        Stages::new(manager, deps.presentation.clone(), presentation)
    }

    /// Processes operations that were accepted in another mode, by the rules of that mode: an
    /// operation that fails is parked and rolls nothing back.
    async fn catch_up(
        &self,
        backlog: &mut dyn ScheduleConsumer,
        shutdown: &Shutdown,
    ) -> Result<(), StoreError> {
        let deps = &self.deps;
        loop {
            let batch = backlog.receive_now(MAX_GROUP).await?;
            if batch.operations.is_empty() && batch.unreadable.is_empty() {
                break;
            }
            let log = deps.log.as_ref();
            if writer::store_batch(log, backlog, &batch, shutdown)
                .await
                .is_none()
            {
                return Ok(());
            }
            backlog.settle().await?;
        }
        let mut stages = self.stages(None, None);
        while stages.batch().await? {}
        for handler in &deps.read_models {
            let mut projector = Projector::new(deps.follow.clone(), handler.clone(), MAX_BATCH);
            loop {
                match projector.batch().await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        let handler = handler.name();
                        tracing::error!(handler, "read model not up to date: {error}");
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Executes a group of operations in one transaction. If that fails, executes each in a
    /// transaction of its own.
    async fn execute_group(&self, group: Vec<Submission>) {
        let (operations, result_senders): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let group_result = match operations.len() {
            0 => return,
            _ => self.execute(&operations).await,
        };
        let is_single = operations.len() == 1;
        for (operation, result_sender) in operations.iter().zip(result_senders) {
            let result = match &group_result {
                Ok(()) => Ok(()),
                Err(error) if is_single => Err(error.clone()),
                Err(_) => self.execute(std::slice::from_ref(operation)).await,
            };
            // The caller may have stopped waiting.
            let _ = result_sender.send(result.map_err(schedule_error));
        }
    }

    /// Executes the operations and everything that follows from them in one transaction.
    async fn execute(&self, operations: &[Operation]) -> Result<(), StoreError> {
        let unit = self.deps.units.begin().await?;
        let notices = Arc::<BufferedNotices>::default();
        let before = unit.source().checkpoint().await?.position;
        let mut handlers = self.handlers(unit.as_ref()).await?;
        let mut stages = Stages::<D>::new(
            ManagerDeps {
                log: unit.log(),
                source: unit.source(),
                leases: self.deps.leases.clone(),
                notices: notices.clone(),
                rebuilds: None,
            },
            unit.presentation(),
            None,
        );
        writer::append(unit.log().as_ref(), operations).await?;
        let mut iterations = 0;
        loop {
            let mut has_work = stages.batch().await?;
            for handler in &mut handlers {
                has_work |= handler.poll_feeds().await?.has_progressed;
            }
            iterations += 1;
            if !has_work {
                break;
            }
            if iterations == MAX_ITERATIONS {
                return Err(StoreError::Corrupt(format!(
                    "endless loop: commands led to commands {MAX_ITERATIONS} times"
                )));
            }
        }
        reject_parked(unit.as_ref(), before).await?;
        drop((stages, handlers));
        unit.commit().await?;
        for notice in notices.take() {
            self.deps.notices.publish(notice).await;
        }
        Ok(())
    }

    /// Creates the runners of all handlers that are up to date before the transaction.
    async fn handlers(&self, unit: &dyn UnitOfWork) -> Result<Vec<HandlerRunner>, StoreError> {
        let epoch = unit.log().epoch().await?;
        let baked = unit.presentation().open(&epoch).await?;
        let own: Arc<dyn FeedSource> = Arc::new(OwnFeed {
            log: unit.log(),
            progress: unit.source(),
            presentation: unit.reader(),
        });
        let deps = HandlerDeps {
            feeds: Feeds::default().with(D::NAME, move || own.clone()),
            rows: unit.rows(),
            scheduler: Arc::new(LogScheduler(unit.log())),
            log: unit.log(),
            domain: D::NAME,
        };
        let mut handlers = Vec::new();
        for handler in &self.deps.read_models {
            let projector = Projector::new(deps.clone(), handler.clone(), MAX_BATCH);
            handlers.extend(projector.join(baked).await?);
        }
        for handler in &self.deps.processes {
            let process_runner = ProcessRunner::new(deps.clone(), handler.clone(), MAX_BATCH);
            handlers.extend(process_runner.join(baked).await?);
        }
        Ok(handlers)
    }
}

fn schedule_error(error: StoreError) -> ScheduleError {
    match error {
        StoreError::Corrupt(reason) => ScheduleError::Undone(reason),
        other => ScheduleError::Unconfirmed(other.to_string()),
    }
}

/// Checks that no log entry after a position is parked.
///
/// # Errors
/// [`StoreError::Corrupt`] with the reason of the first parked entry.
async fn reject_parked(unit: &dyn UnitOfWork, after: Position) -> Result<(), StoreError> {
    let log = unit.log();
    let mut after = after;
    loop {
        let entries = log.read(after, MAX_BATCH).await?;
        let Some(last) = entries.last() else {
            return Ok(());
        };
        after = last.position;
        let parked = entries
            .iter()
            .find(|entry| entry.status == EntryStatus::Parked);
        if let Some(entry) = parked {
            let reason = entry.parked.clone().unwrap_or_default();
            return Err(StoreError::Corrupt(reason));
        }
    }
}

/// The stages that execute and bake, without leases.
struct Stages<D: Domain> {
    manager: RebuildRunner<Manager<D>>,
    baker: RebuildRunner<Baker<D>>,
}

impl<D: Domain> Stages<D> {
    fn new(
        deps: ManagerDeps,
        presentation: Arc<dyn PresentationStore>,
        rebuilds: Option<Arc<dyn ShadowStores<dyn PresentationStore>>>,
    ) -> Self {
        let baker = BakerDeps {
            log: deps.log.clone(),
            source: deps.source.clone(),
            presentation,
            leases: deps.leases.clone(),
            notices: deps.notices.clone(),
            rebuilds: None,
        };
        let source = deps.rebuilds.clone();
        Self {
            manager: RebuildRunner::new(Manager::new(deps, MAX_BATCH), source),
            baker: RebuildRunner::new(Baker::new(baker, MAX_BATCH), rebuilds),
        }
    }

    /// Runs one batch of each stage. Returns whether there was anything to do.
    async fn batch(&mut self) -> Result<bool, StoreError> {
        let is_executed = self.manager.batch().await?;
        Ok(self.baker.batch().await? || is_executed)
    }

    /// Advances the rebuilds by one batch, between two transactions. Returns whether there is more
    /// to do.
    async fn advance_rebuilds(&mut self) -> bool {
        // Transactions have written with stages of their own.
        self.manager.reset_stage();
        self.baker.reset_stage();
        self.batch().await.unwrap_or_else(|error| {
            tracing::warn!("rebuild: will be retried: {error}");
            false
        })
    }
}

/// Scheduler that appends commands of processes to the log within the same transaction.
struct LogScheduler(Arc<dyn EventLog>);

#[async_trait]
impl Scheduler for LogScheduler {
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError> {
        let stored = writer::append(self.0.as_ref(), std::slice::from_ref(operation)).await;
        let failed = |error: StoreError| ScheduleError::Unconfirmed(error.to_string());
        stored.map(|_| ()).map_err(failed)
    }
}

/// Notices that are collected during a transaction and published after its commit.
#[derive(Default)]
struct BufferedNotices(Mutex<Vec<Notice>>);

impl BufferedNotices {
    fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Notices for BufferedNotices {
    async fn publish(&self, notice: Notice) {
        // The stages of the transaction need no notices.
        if notice.topic() == Topic::Baked {
            let mut notices = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            notices.push(notice);
        }
    }

    async fn subscribe(&self, _: Topic) -> Box<dyn NoticeStream> {
        Box::new(EmptyStream)
    }
}

/// Stream without notices.
struct EmptyStream;

#[async_trait]
impl NoticeStream for EmptyStream {
    async fn next(&mut self) -> Option<Notice> {
        std::future::pending().await
    }
}
