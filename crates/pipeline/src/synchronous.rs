//! synchronous: everything that an operation leads to before it is answered, in one
//! transaction: its event, its execution, documents and frames, rows of read models,
//! state, commands and notifications of processes. Where any of it fails, nothing of
//! it has happened, and whoever asked is told so.
//!
//! It is a [`Scheduler`], so that whoever accepts operations need not know. What has
//! gathered while one transaction was under way shares the next; if that fails, each
//! gets one of its own, so that nobody suffers for another's.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use crate::baker::{Baker, BakerDoors};
use crate::follow::attendant::Attendant;
use crate::follow::follower::FollowDoors;
use crate::follow::own_feed::OwnFeed;
use crate::follow::projector::Projector;
use crate::follow::{AnyHandler, Feeds};
use crate::manager::{Manager, ManagerDoors};
use crate::ports::{
    EventLog, Facts, Leases, Notice, NoticeStream, Notices, ScheduleConsumer, ScheduleError,
    Scheduler, StoreError, Topic, Unit, Units,
};
use crate::stage::Stage;
use crate::{Domain, EventStatus, Operation, Position, Shutdown, writer};

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
pub struct SynchronousDoors {
    /// The store.
    pub units: Arc<dyn Units>,
    /// Whose leases nobody needs here; stages have them.
    pub leases: Arc<dyn Leases>,
    /// Who is told of what has been made durable.
    pub notices: Arc<dyn Notices>,
    /// Read models of the domain's own feed alone.
    pub read_models: Vec<AnyHandler>,
    /// Process managers of the domain's own feed alone.
    pub processes: Vec<AnyHandler>,
}

type Waiting = (Operation, oneshot::Sender<Result<(), ScheduleError>>);

/// Where operations are handed in.
struct Entrance(mpsc::Sender<Waiting>);

#[async_trait]
impl Scheduler for Entrance {
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError> {
        let (answer, outcome) = oneshot::channel();
        let queued = self.0.try_send((operation.clone(), answer));
        queued.map_err(|_| ScheduleError::Unconfirmed("too much is waiting".into()))?;
        let gone = |_| ScheduleError::Unconfirmed("shutting down".into());
        outcome.await.map_err(gone)?
    }
}

/// Carries operations out, one transaction after the other.
pub struct Synchronous<D> {
    doors: SynchronousDoors,
    queue: mpsc::Receiver<Waiting>,
    domain: std::marker::PhantomData<fn() -> D>,
}

impl<D: Domain> Synchronous<D> {
    /// And where operations are handed in.
    #[must_use]
    pub fn new(doors: SynchronousDoors) -> (Self, Arc<dyn Scheduler>) {
        let (entrance, queue) = mpsc::channel(QUEUE);
        let this = Self {
            doors,
            queue,
            domain: std::marker::PhantomData,
        };
        (this, Arc::new(Entrance(entrance)))
    }

    /// First what another mode has left to be done, in the log and in the queue; then
    /// what is handed in, until shutdown.
    pub async fn run(mut self, mut left: Box<dyn ScheduleConsumer>, shutdown: Shutdown) {
        if let Err(error) = self.carry_out(&[]).await {
            tracing::error!("what is in the log already cannot be carried out: {error}");
        }
        let mut group = Vec::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                count = self.queue.recv_many(&mut group, GROUP) => {
                    if count == 0 {
                        // Nobody is left who could hand anything in.
                        return shutdown.cancelled().await;
                    }
                    self.answer(std::mem::take(&mut group)).await;
                }
                batch = left.receive(GROUP) => {
                    let done = match batch {
                        Ok(batch) => self.take_over(left.as_mut(), &batch.operations).await,
                        Err(error) => Err(error),
                    };
                    if let Err(error) = done {
                        tracing::error!("what was left in the queue: {error}");
                    }
                }
            }
        }
    }

    async fn take_over(
        &self,
        queue: &mut dyn ScheduleConsumer,
        operations: &[Operation],
    ) -> Result<(), StoreError> {
        self.carry_out(operations).await?;
        queue.settle().await
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
        let unit = self.doors.units.begin().await?;
        let told = Arc::<Told>::default();
        let mut kitchen = Kitchen::<D>::new(&self.doors, unit.as_ref(), &told);
        let before = unit.source().checkpoint().await?;
        writer::store(unit.log().as_ref(), operations).await?;
        kitchen.work().await?;
        let after = unit.source().checkpoint().await?;
        if after.parked > before.parked {
            return Err(stuck(unit.log().as_ref(), before.position).await?);
        }
        drop(kitchen);
        unit.commit().await?;
        for notice in told.take() {
            self.doors.notices.publish(notice).await;
        }
        Ok(())
    }
}

fn refusal(error: StoreError) -> ScheduleError {
    match error {
        StoreError::Corrupt(reason) => ScheduleError::Undone(reason),
        other => ScheduleError::Unconfirmed(other.to_string()),
    }
}

/// Why one of the events after a position could be neither executed nor refused.
async fn stuck(log: &dyn EventLog, after: Position) -> Result<StoreError, StoreError> {
    let events = log.read(after, BATCH).await?;
    let parked = events
        .into_iter()
        .find(|event| event.status == EventStatus::Parked);
    let reason = parked.and_then(|event| event.parked).unwrap_or_default();
    Ok(StoreError::Corrupt(reason))
}

/// All stages within one transaction.
struct Kitchen<D> {
    manager: Manager<D>,
    baker: Baker<D>,
    projectors: Vec<Projector>,
    attendants: Vec<Attendant>,
}

impl<D: Domain> Kitchen<D> {
    fn new(doors: &SynchronousDoors, unit: &dyn Unit, told: &Arc<Told>) -> Self {
        let manager = ManagerDoors {
            log: unit.log(),
            source: unit.source(),
            leases: doors.leases.clone(),
            notices: told.clone(),
        };
        let baker = BakerDoors {
            log: unit.log(),
            source: unit.source(),
            presentation: unit.presentation(),
            leases: doors.leases.clone(),
            notices: told.clone(),
        };
        let own: Arc<dyn Facts> = Arc::new(OwnFeed {
            log: unit.log(),
            presentation: unit.reader(),
        });
        let follow = FollowDoors {
            feeds: Feeds::default().with(D::NAME, move || own.clone()),
            rows: unit.rows(),
            scheduler: Arc::new(IntoLog(unit.log())),
            log: unit.log(),
            progress: unit.source(),
            domain: D::NAME,
        };
        let projector =
            |handler: &AnyHandler| Projector::new(follow.clone(), handler.clone(), BATCH);
        let attendant =
            |handler: &AnyHandler| Attendant::new(follow.clone(), handler.clone(), BATCH);
        Self {
            manager: Manager::new(manager, BATCH),
            baker: Baker::new(baker, BATCH),
            projectors: doors.read_models.iter().map(projector).collect(),
            attendants: doors.processes.iter().map(attendant).collect(),
        }
    }

    /// Until nothing leads to anything any more.
    async fn work(&mut self) -> Result<(), StoreError> {
        for attendant in &mut self.attendants {
            // A new one begins with what comes after now.
            attendant.begin().await?;
        }
        for _ in 0..ROUNDS {
            let mut is_news = self.manager.batch().await?;
            is_news |= self.baker.batch().await?;
            for projector in &mut self.projectors {
                is_news |= projector.step().await?;
            }
            for attendant in &mut self.attendants {
                is_news |= attendant.step().await?;
            }
            if !is_news {
                return Ok(());
            }
        }
        Err(StoreError::Corrupt(format!(
            "commands led to commands for {ROUNDS} rounds without an end"
        )))
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
