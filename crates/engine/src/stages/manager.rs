//! orders-manager: executes the log into the source state, each entry once and in order.
//!
//! 1. while it holds the lease: read the log entries after the checkpoint;
//! 2. load the entities that they concern;
//! 3. execute them ([`crate::stages::execute`]) and park those that cannot be executed;
//! 4. commit entities, verdicts and checkpoint in one transaction, on condition that the checkpoint
//!    has not moved;
//! 5. notify data-baker.
//!
//! It polls, and a notice wakes it early. An instance that was paused and continues after its lease
//! has expired fails at step 4 and changes nothing.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::fault_injection::failpoint;
use crate::model::frame;
use crate::model::log_entry::entity_ids;
use crate::ports::{
    Checkpoint, EventLog, Execution, Leases, Notice, Notices, ShadowStores, SourceStore,
    StoreError, Topic, Verdict,
};
use crate::rebuild::{RebuildRunner, Rebuildable, remaining};
use crate::stages::execute::execute;
use crate::stages::leadership::LeaderElection;
use crate::stages::runner::{Stage, Wake, count_outcomes, lead, measure};
use crate::{Domain, LogEntry, Position, Rejection, Shutdown, Timestamp};

/// Dependencies of orders-manager.
#[derive(Clone)]
pub struct ManagerDeps {
    /// Log that is executed.
    pub log: Arc<dyn EventLog>,
    /// Store of the source state.
    pub source: Arc<dyn SourceStore>,
    /// Leases of the leader election, in the source database.
    pub leases: Arc<dyn Leases>,
    /// Notices from events-writer and to data-baker.
    pub notices: Arc<dyn Notices>,
    /// Rebuilds of the source state; `None` if this instance never rebuilds.
    pub rebuilds: Option<Arc<dyn ShadowStores<dyn SourceStore>>>,
}

/// Settings of orders-manager.
#[derive(Clone, Debug)]
pub struct ManagerSettings {
    /// Name of this instance.
    pub instance: String,
    /// Interval at which it polls without a notice.
    pub poll_interval: Duration,
    /// Maximum number of log entries in one batch.
    pub max_batch: usize,
    /// Time after which its lease expires unless it is renewed.
    pub lease_ttl: Duration,
}

/// Runs orders-manager until shutdown.
pub async fn run<D: Domain>(deps: ManagerDeps, settings: ManagerSettings, shutdown: Shutdown) {
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
        wake_signal: None,
    };
    let rebuilds = deps.rebuilds.clone();
    let manager = Manager::<D>::new(deps, settings.max_batch);
    let mut manager = RebuildRunner::new(manager, rebuilds);
    lead(&mut manager, &wake, &election, &shutdown).await;
}

/// Stage of orders-manager.
pub(crate) struct Manager<D> {
    deps: ManagerDeps,
    max_batch: usize,
    /// Checkpoint as last committed by this instance; `None`: must be read from the store.
    checkpoint: Option<Checkpoint>,
    domain: PhantomData<fn() -> D>,
}

#[async_trait]
impl<D: Domain> Stage for Manager<D> {
    const NAME: &'static str = "orders-manager";

    async fn batch(&mut self) -> Result<bool, StoreError> {
        let started = Instant::now();
        let Some((entries, execution)) = self.execute_and_commit(self.max_batch).await? else {
            return Ok(false);
        };
        measure(Self::NAME, entries.len(), started);
        log_verdicts(&entries, &execution);
        let notice = notice(D::NAME, &entries, &execution);
        self.deps.notices.publish(notice).await;
        failpoint("orders-manager.notified");
        Ok(true)
    }
}

#[async_trait]
impl<D: Domain> Rebuildable for Manager<D> {
    type Store = dyn SourceStore;

    fn shadow(&self, source: Arc<dyn SourceStore>) -> Self {
        let deps = ManagerDeps {
            source,
            rebuilds: None,
            ..self.deps.clone()
        };
        Self::new(deps, self.max_batch)
    }

    async fn replay(&mut self, end: Position, limit: usize) -> Result<Position, StoreError> {
        let from = self.checkpoint().await?;
        let remaining = remaining(from.position, end)?;
        let limit = remaining.min(limit).min(self.max_batch);
        self.execute_and_commit(limit).await?;
        Ok(self.position().unwrap_or(from.position))
    }

    fn position(&self) -> Option<Position> {
        self.checkpoint.map(|checkpoint| checkpoint.position)
    }

    fn reset(&mut self) {
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

    /// Executes the next entries, at most `limit`, and commits the result. Returns `None` if there
    /// are no entries.
    async fn execute_and_commit(
        &mut self,
        limit: usize,
    ) -> Result<Option<(Vec<LogEntry>, Execution)>, StoreError> {
        let from = self.checkpoint().await?;
        let entries = match limit {
            0 => Vec::new(),
            limit => self.deps.log.read(from.position, limit).await?,
        };
        if entries.is_empty() {
            // The cached checkpoint is kept for a quick start of the next batch. If another
            // instance has led in the meantime, the commit is fenced.
            return Ok(None);
        }
        // After an error the checkpoint is read from the store.
        self.checkpoint = None;
        failpoint("orders-manager.read");
        let execution = self.execute(from, &entries).await?;
        failpoint("orders-manager.executed");
        self.deps.source.commit(&execution).await?;
        failpoint("orders-manager.committed");
        self.checkpoint = Some(execution.to);
        Ok(Some((entries, execution)))
    }

    async fn execute(
        &self,
        from: Checkpoint,
        entries: &[LogEntry],
    ) -> Result<Execution, StoreError> {
        let ids = entity_ids(entries);
        let records = self.deps.source.load(&ids).await?;
        let parked = match from.parked {
            0 => Vec::new(),
            _ => self.deps.log.ever_parked(&ids).await?,
        };
        execute::<D>(from, entries, records, parked, Timestamp::now())
    }
}

/// Logs and counts the verdicts of a batch.
fn log_verdicts(entries: &[LogEntry], execution: &Execution) {
    let (mut rejected, mut parked) = (0, 0);
    for (entry, verdict) in entries.iter().zip(&execution.verdicts) {
        let operation_id = entry.operation.operation_id;
        match verdict {
            Verdict::Executed { .. } => {}
            Verdict::Rejected(Rejection { reason, .. }) => {
                rejected += 1;
                tracing::info!(position = entry.position, %operation_id, reason, "rejected");
            }
            Verdict::Parked { reason } => {
                parked += 1;
                tracing::error!(position = entry.position, %operation_id, reason, "parked");
            }
        }
    }
    let executed = entries.len() - rejected - parked;
    let resolved = execution.resolved.len();
    count_outcomes(
        "bakehouse_events_executed_total",
        [
            ("executed", executed),
            ("rejected", rejected),
            ("parked", parked),
            ("settled", resolved),
        ],
    );
    tracing::debug!(
        stage = "orders-manager",
        executed,
        rejected,
        parked,
        resolved,
        position = execution.to.position,
        "batch executed"
    );
}

/// Returns the notice of an executed batch.
fn notice(name: &str, entries: &[LogEntry], execution: &Execution) -> Notice {
    let changes = entries.iter().zip(&execution.verdicts);
    Notice::Executed {
        from: execution.from.position,
        to: execution.to.position,
        changes: changes
            .map(|(entry, verdict)| {
                let change = match verdict {
                    Verdict::Executed { change } => change,
                    Verdict::Rejected(_) => frame::REJECTED,
                    Verdict::Parked { .. } => frame::PARKED,
                };
                (frame::kind(name, change), entry.entity_id().to_owned())
            })
            .collect(),
    }
}
