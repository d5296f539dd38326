//! synchronous: everything that an operation leads to before it is answered, in one
//! transaction: its event, its execution, documents and frames, rows of read models,
//! state, commands and notifications of processes. Where any of it fails, nothing of
//! it has happened, and whoever asked is told so.
//!
//! It is a [`Scheduler`], so that whoever accepts operations need not know. What has
//! gathered while one transaction was under way shares the next; if that fails, each
//! gets one of its own, so that nobody suffers for another's.

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
use crate::rebuild::{LOOK, RebuildRunner};
use crate::stages::baker::{Baker, BakerDeps};
use crate::stages::manager::{Manager, ManagerDeps};
use crate::stages::runner::Stage;
use crate::stages::writer;
use crate::{Domain, EntryStatus, Operation, Position, Shutdown};

/// Operations that may wait; beyond that, they are refused.
const QUEUE: usize = 1_024;
/// Operations in one transaction at most.
const GROUP: usize = 100;
/// Events and facts a batch at most, within a transaction.
const BATCH: usize = 500;
/// How often a transaction looks for what its own effects have led to, before it is
/// taken for one without an end.
const ROUNDS: usize = 1_000;

/// What all of it stands between.
pub struct SingleTransactionDeps {
    /// The store.
    pub units: Arc<dyn UnitsOfWork>,
    /// The log, where it is left to.
    pub log: Arc<dyn EventLog>,
    /// The source state, likewise.
    pub source: Arc<dyn SourceStore>,
    /// The presentation, likewise.
    pub presentation: Arc<dyn PresentationStore>,
    /// What read models stand between, likewise.
    pub follow: HandlerDeps,
    /// Where the source state is made anew.
    pub source_rebuilds: Arc<dyn ShadowStores<dyn SourceStore>>,
    /// Where the presentation is.
    pub presentation_rebuilds: Arc<dyn ShadowStores<dyn PresentationStore>>,
    /// Whose leases nobody needs here; stages have them.
    pub leases: Arc<dyn Leases>,
    /// Who is told of what has been made durable.
    pub notices: Arc<dyn Notices>,
    /// Read models of the domain's own feed alone. What of them is not up to date, or
    /// being made anew, somebody else has to follow.
    pub read_models: Vec<AnyHandler>,
    /// Process managers of the domain's own feed alone; likewise.
    pub processes: Vec<AnyHandler>,
}

type Waiting = (Operation, oneshot::Sender<Result<(), ScheduleError>>);

/// Where operations are handed in.
struct SubmitQueue(mpsc::Sender<Waiting>);

#[async_trait]
impl Scheduler for SubmitQueue {
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError> {
        let (answer, outcome) = oneshot::channel();
        let queued = self.0.try_send((operation.clone(), answer));
        queued.map_err(|_| ScheduleError::Unconfirmed("too much is waiting".into()))?;
        let gone = |_| ScheduleError::Unconfirmed("shutting down".into());
        outcome.await.map_err(gone)?
    }
}

/// Carries operations out, one transaction after the other.
pub struct SingleTransactionEngine<D> {
    deps: SingleTransactionDeps,
    queue: mpsc::Receiver<Waiting>,
    domain: std::marker::PhantomData<fn() -> D>,
}

impl<D: Domain> SingleTransactionEngine<D> {
    /// And where operations are handed in.
    #[must_use]
    pub fn new(deps: SingleTransactionDeps) -> (Self, Arc<dyn Scheduler>) {
        let (entrance, queue) = mpsc::channel(QUEUE);
        let this = Self {
            deps,
            queue,
            domain: std::marker::PhantomData,
        };
        (this, Arc::new(SubmitQueue(entrance)))
    }

    /// First what another mode has left to be done, in the log and in this queue; then
    /// what is handed in, until shutdown.
    pub async fn run(mut self, mut left: Box<dyn ScheduleConsumer>, shutdown: Shutdown) {
        let mut backoff = Backoff::default();
        while let Err(error) = self.catch_up(left.as_mut(), &shutdown).await {
            tracing::warn!("what was left is not done yet: {error}");
            backoff.wait(&shutdown).await;
            if shutdown.is_cancelled() {
                return;
            }
        }
        let mut group = Vec::new();
        let mut renewing = self.stages(
            Some(self.deps.source_rebuilds.clone()),
            Some(self.deps.presentation_rebuilds.clone()),
        );
        let mut due = Instant::now() + LOOK;
        loop {
            let count = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                count = self.queue.recv_many(&mut group, GROUP) => Some(count),
                () = sleep_until(due) => None,
            };
            if count == Some(0) {
                // Nobody is left who could hand anything in.
                return shutdown.cancelled().await;
            }
            self.answer(std::mem::take(&mut group)).await;
            // What is being made anew gets its turn whatever is handed in.
            if Instant::now() >= due {
                let has_more = renewing.renew().await;
                due = Instant::now() + if has_more { Duration::ZERO } else { LOOK };
            }
        }
    }

    /// Outside of any transaction.
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

    /// What has been accepted already is done as it was accepted: what can be neither
    /// executed nor refused is parked, and undoes nothing.
    async fn catch_up(
        &self,
        left: &mut dyn ScheduleConsumer,
        shutdown: &Shutdown,
    ) -> Result<(), StoreError> {
        let deps = &self.deps;
        loop {
            let batch = left.receive_now(GROUP).await?;
            if batch.operations.is_empty() && batch.unreadable.is_empty() {
                break;
            }
            let log = deps.log.as_ref();
            if writer::keep(log, left, &batch, shutdown).await.is_none() {
                return Ok(());
            }
            left.settle().await?;
        }
        let mut stages = self.stages(None, None);
        while stages.work().await? {}
        for handler in &deps.read_models {
            let mut projector = Projector::new(deps.follow.clone(), handler.clone(), BATCH);
            loop {
                match projector.batch().await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::error!("{} is not up to date: {error}", handler.name());
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    async fn answer(&self, group: Vec<Waiting>) {
        let (operations, answers): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let together = match operations.len() {
            0 => return,
            _ => self.carry_out(&operations).await,
        };
        let is_alone = operations.len() == 1;
        for (operation, answer) in operations.iter().zip(answers) {
            let outcome = match &together {
                Ok(()) => Ok(()),
                Err(error) if is_alone => Err(error.clone()),
                Err(_) => self.carry_out(std::slice::from_ref(operation)).await,
            };
            // Whoever does not wait any more misses nothing but the answer.
            let _ = answer.send(outcome.map_err(refusal));
        }
    }

    /// All that the operations lead to, or nothing.
    async fn carry_out(&self, operations: &[Operation]) -> Result<(), StoreError> {
        let unit = self.deps.units.begin().await?;
        let told = Arc::<Told>::default();
        let before = unit.source().checkpoint().await?.position;
        let mut followers = self.followers(unit.as_ref()).await?;
        let mut stages = Stages::<D>::new(
            ManagerDeps {
                log: unit.log(),
                source: unit.source(),
                leases: self.deps.leases.clone(),
                notices: told.clone(),
                rebuilds: None,
            },
            unit.presentation(),
            None,
        );
        writer::store(unit.log().as_ref(), operations).await?;
        let mut rounds = 0;
        loop {
            let mut is_news = stages.work().await?;
            for follower in &mut followers {
                is_news |= follower.look().await?.is_news;
            }
            rounds += 1;
            if !is_news {
                break;
            }
            if rounds == ROUNDS {
                let text = format!("commands led to commands for {ROUNDS} rounds without an end");
                return Err(StoreError::Corrupt(text));
            }
        }
        refuse_parked(unit.as_ref(), before).await?;
        drop((stages, followers));
        unit.commit().await?;
        for notice in told.take() {
            self.deps.notices.publish(notice).await;
        }
        Ok(())
    }

    /// All that are up to date before anything happens.
    async fn followers(&self, unit: &dyn UnitOfWork) -> Result<Vec<HandlerRunner>, StoreError> {
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
            scheduler: Arc::new(IntoLog(unit.log())),
            log: unit.log(),
            domain: D::NAME,
        };
        let mut followers = Vec::new();
        for handler in &self.deps.read_models {
            let projector = Projector::new(deps.clone(), handler.clone(), BATCH);
            followers.extend(projector.join(baked).await?);
        }
        for handler in &self.deps.processes {
            let process_runner = ProcessRunner::new(deps.clone(), handler.clone(), BATCH);
            followers.extend(process_runner.join(baked).await?);
        }
        Ok(followers)
    }
}

fn refusal(error: StoreError) -> ScheduleError {
    match error {
        StoreError::Corrupt(reason) => ScheduleError::Undone(reason),
        other => ScheduleError::Unconfirmed(other.to_string()),
    }
}

/// # Errors
/// Why one of the events after a position could be neither executed nor refused.
async fn refuse_parked(unit: &dyn UnitOfWork, after: Position) -> Result<(), StoreError> {
    let log = unit.log();
    let mut after = after;
    loop {
        let events = log.read(after, BATCH).await?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        after = last.position;
        let parked = events
            .iter()
            .find(|event| event.status == EntryStatus::Parked);
        if let Some(event) = parked {
            return Err(StoreError::Corrupt(
                event.parked.clone().unwrap_or_default(),
            ));
        }
    }
}

/// orders-manager and data-baker, without leases.
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
            manager: RebuildRunner::new(Manager::new(deps, BATCH), source),
            baker: RebuildRunner::new(Baker::new(baker, BATCH), rebuilds),
        }
    }

    /// A batch of each; whether there was anything.
    async fn work(&mut self) -> Result<bool, StoreError> {
        let is_executed = self.manager.batch().await?;
        Ok(self.baker.batch().await? || is_executed)
    }

    /// A batch of what is made anew, between two transactions, which have gone on
    /// without these. `true`: there is more.
    async fn renew(&mut self) -> bool {
        self.manager.resume();
        self.baker.resume();
        self.work().await.unwrap_or_else(|error| {
            tracing::warn!("making anew, again: {error}");
            false
        })
    }
}

/// Commands of processes, within the transaction that they came from.
struct IntoLog(Arc<dyn EventLog>);

#[async_trait]
impl Scheduler for IntoLog {
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError> {
        let stored = writer::store(self.0.as_ref(), std::slice::from_ref(operation)).await;
        let failed = |error: StoreError| ScheduleError::Unconfirmed(error.to_string());
        stored.map(|_| ()).map_err(failed)
    }
}

/// What is to be told once the transaction stands.
#[derive(Default)]
struct Told(Mutex<Vec<Notice>>);

impl Told {
    fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Notices for Told {
    async fn publish(&self, notice: Notice) {
        // The stages in between are at work already.
        if notice.topic() == Topic::Baked {
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            told.push(notice);
        }
    }

    async fn subscribe(&self, _: Topic) -> Box<dyn NoticeStream> {
        Box::new(Silence)
    }
}

/// Nobody has to be woken here.
struct Silence;

#[async_trait]
impl NoticeStream for Silence {
    async fn next(&mut self) -> Option<Notice> {
        std::future::pending().await
    }
}
