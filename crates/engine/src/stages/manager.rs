//! orders-manager: the log into the source state, in creation order, once.
//!
//! 1. while it holds the lease: read the events after the checkpoint;
//! 2. load the entities that they concern;
//! 3. execute them ([`crate::execute`]), set aside what cannot be;
//! 4. commit entities, verdicts and checkpoint at once, conditional on the
//!    checkpoint being where it was;
//! 5. tell data-baker.
//!
//! It polls, and a notice wakes it early. A holder that was paused and goes on
//! after its lease ran out fails at 4 and has changed nothing.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::fault_injection::{self, point};
use crate::model::frame;
use crate::model::log_entry::entity_ids;
use crate::ports::{
    Checkpoint, EventLog, Execution, Leases, Notice, Notices, ShadowStores, SourceStore,
    StoreError, Topic, Verdict,
};
use crate::rebuild::{RebuildRunner, Rebuildable, left};
use crate::stages::execute::execute;
use crate::stages::leadership::LeaderElection;
use crate::stages::runner::{Stage, Wake, count_outcomes, lead, measure};
use crate::{Domain, LogEntry, Position, Rejection, Shutdown, Timestamp};

/// What orders-manager stands between.
#[derive(Clone)]
pub struct ManagerDeps {
    /// Where events come from.
    pub log: Arc<dyn EventLog>,
    /// Where their effects go.
    pub source: Arc<dyn SourceStore>,
    /// Who leads; in the source database.
    pub leases: Arc<dyn Leases>,
    /// Who wakes it, and who is told.
    pub notices: Arc<dyn Notices>,
    /// Where the source state is made anew, if it ever is.
    pub rebuilds: Option<Arc<dyn ShadowStores<dyn SourceStore>>>,
}

/// How orders-manager works.
#[derive(Clone, Debug)]
pub struct ManagerSettings {
    /// Name of this instance.
    pub instance: String,
    /// How often it looks although nobody told it to.
    pub poll_interval: Duration,
    /// Events a batch at most.
    pub max_batch: usize,
    /// How long its lease lasts without being renewed.
    pub lease_ttl: Duration,
}

/// Runs until shutdown.
pub async fn run<D: Domain>(deps: ManagerDeps, settings: ManagerSettings, shutdown: Shutdown) {
    let deps = fault_injection::manager(deps);
    let election = LeaderElection {
        leases: deps.leases.clone(),
        name: Manager::<D>::NAME.to_owned(),
        holder: settings.instance.clone(),
        time_to_live: settings.lease_ttl,
    };
    let notices = deps.notices.clone();
    let wake = Wake {
        notices: notices.as_ref(),
        topic: Topic::Stored,
        interval: settings.poll_interval,
        news: None,
    };
    let rebuilds = deps.rebuilds.clone();
    let manager = Manager::<D>::new(deps, settings.max_batch);
    let mut manager = RebuildRunner::new(manager, rebuilds);
    lead(&mut manager, &wake, &election, &shutdown).await;
}

/// The stage.
pub(crate) struct Manager<D> {
    deps: ManagerDeps,
    max_batch: usize,
    /// As last committed by this instance; `None`: to be read from the store.
    checkpoint: Option<Checkpoint>,
    domain: PhantomData<fn() -> D>,
}

#[async_trait]
impl<D: Domain> Stage for Manager<D> {
    const NAME: &'static str = "orders-manager";

    async fn batch(&mut self) -> Result<bool, StoreError> {
        let began = Instant::now();
        let Some((events, execution)) = self.carry_out(self.max_batch).await? else {
            return Ok(false);
        };
        measure(Self::NAME, events.len(), began);
        report(&events, &execution);
        let notice = notice(D::NAME, &events, &execution);
        self.deps.notices.publish(notice).await;
        point("orders-manager.told");
        Ok(true)
    }
}

#[async_trait]
impl<D: Domain> Rebuildable for Manager<D> {
    type Store = dyn SourceStore;

    fn beside(&self, source: Arc<dyn SourceStore>) -> Self {
        let deps = ManagerDeps {
            source,
            rebuilds: None,
            ..self.deps.clone()
        };
        Self::new(deps, self.max_batch)
    }

    async fn make(&mut self, end: Position, most: usize) -> Result<Position, StoreError> {
        let from = self.checkpoint().await?;
        let left = left(from.position, end)?;
        self.carry_out(left.min(most).min(self.max_batch)).await?;
        Ok(self.at().unwrap_or(from.position))
    }

    fn at(&self) -> Option<Position> {
        self.checkpoint.map(|checkpoint| checkpoint.position)
    }

    fn forget(&mut self) {
        self.checkpoint = None;
    }
}

impl<D: Domain> Manager<D> {
    pub(crate) fn new(deps: ManagerDeps, max_batch: usize) -> Self {
        Self {
            deps,
            max_batch,
            checkpoint: None,
            domain: PhantomData,
        }
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint, StoreError> {
        let from = match self.checkpoint {
            Some(checkpoint) => checkpoint,
            None => self.deps.source.checkpoint().await?,
        };
        self.checkpoint = Some(from);
        Ok(from)
    }

    /// Executes the next events, at most `limit`, and commits that. `None`: there are
    /// none.
    async fn carry_out(
        &mut self,
        limit: usize,
    ) -> Result<Option<(Vec<LogEntry>, Execution)>, StoreError> {
        let from = self.checkpoint().await?;
        let events = match limit {
            0 => Vec::new(),
            limit => self.deps.log.read(from.position, limit).await?,
        };
        if events.is_empty() {
            // Where it stands is remembered, for a quick start when the next event comes;
            // should another instance have led meanwhile, the commit is fenced.
            return Ok(None);
        }
        // After an error it is to be read anew.
        self.checkpoint = None;
        point("orders-manager.read");
        let execution = self.execute(from, &events).await?;
        point("orders-manager.executed");
        self.deps.source.commit(&execution).await?;
        point("orders-manager.committed");
        self.checkpoint = Some(execution.to);
        Ok(Some((events, execution)))
    }

    async fn execute(
        &self,
        from: Checkpoint,
        events: &[LogEntry],
    ) -> Result<Execution, StoreError> {
        let ids = entity_ids(events);
        let records = self.deps.source.load(&ids).await?;
        let held = match from.parked {
            0 => Vec::new(),
            _ => self.deps.log.held(&ids).await?,
        };
        execute::<D>(from, events, records, held, Timestamp::now())
    }
}

fn report(events: &[LogEntry], execution: &Execution) {
    let (mut rejected, mut parked) = (0, 0);
    for (event, verdict) in events.iter().zip(&execution.verdicts) {
        let operation_id = event.operation.operation_id;
        match verdict {
            Verdict::Executed { .. } => {}
            Verdict::Rejected(Rejection { reason, .. }) => {
                rejected += 1;
                tracing::info!(position = event.position, %operation_id, reason, "rejected");
            }
            Verdict::Parked { reason } => {
                parked += 1;
                tracing::error!(position = event.position, %operation_id, reason, "parked");
            }
        }
    }
    let executed = events.len() - rejected - parked;
    let settled = execution.settlements.len();
    count_outcomes(
        "bakehouse_events_executed_total",
        [
            ("executed", executed),
            ("rejected", rejected),
            ("parked", parked),
            ("settled", settled),
        ],
    );
    tracing::info!(
        stage = "orders-manager",
        executed,
        rejected,
        parked,
        settled,
        position = execution.to.position,
        "batch executed"
    );
}

fn notice(name: &str, events: &[LogEntry], execution: &Execution) -> Notice {
    let changes = events.iter().zip(&execution.verdicts);
    Notice::Executed {
        from: execution.from.position,
        to: execution.to.position,
        changes: changes
            .map(|(event, verdict)| {
                let change = match verdict {
                    Verdict::Executed { change } => change,
                    Verdict::Rejected(_) => frame::REJECTED,
                    Verdict::Parked { .. } => frame::PARKED,
                };
                (frame::kind(name, change), event.entity_id().to_owned())
            })
            .collect(),
    }
}
