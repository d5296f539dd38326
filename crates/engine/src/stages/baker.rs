//! data-baker: turns the source state into ready-to-read documents and feed frames.
//!
//! 1. while it holds the lease: read how far the log has been executed;
//! 2. read the log entries up to there, and the entities that they concern;
//! 3. bake them ([`crate::stages::bake`]);
//! 4. commit documents, frames and checkpoint in one transaction, on condition that the checkpoint
//!    has not moved;
//! 5. notify every api-server.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use metrics::counter;

use crate::fault_injection::failpoint;
use crate::model::log_entry::entity_ids;
use crate::ports::{
    Baking, EventLog, Leases, Notice, Notices, PresentationStore, ShadowStores, SourceStore,
    StoreError, Topic,
};
use crate::rebuild::{RebuildRunner, Rebuildable, remaining};
use crate::stages::bake::{History, Trust, bake, needs_history};
use crate::stages::leadership::LeaderElection;
use crate::stages::runner::{Stage, Wake, lead, measure};
use crate::{Domain, EntityRecord, EntryStatus, LogEntry, Position, Shutdown};

/// Maximum number of histories that are read concurrently.
const MAX_CONCURRENT_READS: usize = 8;

/// Dependencies of data-baker.
#[derive(Clone)]
pub struct BakerDeps {
    /// Log that is baked.
    pub log: Arc<dyn EventLog>,
    /// Source state after the execution of the log.
    pub source: Arc<dyn SourceStore>,
    /// Store of documents and frames.
    pub presentation: Arc<dyn PresentationStore>,
    /// Leases of the leader election, in the presentation database.
    pub leases: Arc<dyn Leases>,
    /// Notices from orders-manager and to api-servers.
    pub notices: Arc<dyn Notices>,
    /// Rebuilds of the presentation; `None` if this instance never rebuilds.
    pub rebuilds: Option<Arc<dyn ShadowStores<dyn PresentationStore>>>,
}

/// Settings of data-baker.
#[derive(Clone, Debug)]
pub struct BakerSettings {
    /// Name of this instance.
    pub instance: String,
    /// Interval at which it polls without a notice.
    pub poll_interval: Duration,
    /// Maximum number of log entries in one batch.
    pub max_batch: usize,
    /// Time after which its lease expires unless it is renewed.
    pub lease_ttl: Duration,
}

/// Runs data-baker until shutdown.
pub async fn run<D: Domain>(deps: BakerDeps, settings: BakerSettings, shutdown: Shutdown) {
    let election = LeaderElection {
        leases: deps.leases.clone(),
        name: Baker::<D>::NAME.to_owned(),
        holder: settings.instance.clone(),
        time_to_live: settings.lease_ttl,
    };
    let notices = deps.notices.clone();
    let wake = Wake {
        notices: notices.as_ref(),
        topic: Topic::Executed,
        interval: settings.poll_interval,
        wake_signal: None,
    };
    let rebuilds = deps.rebuilds.clone();
    let baker = Baker::<D>::new(deps, settings.max_batch);
    let mut baker = RebuildRunner::new(baker, rebuilds);
    lead(&mut baker, &wake, &election, &shutdown).await;
}

/// Stage of data-baker.
pub(crate) struct Baker<D> {
    deps: BakerDeps,
    max_batch: usize,
    /// Checkpoint as last committed by this instance; `None`: must be read from the store.
    baked: Option<Position>,
    /// Position up to which the log has been executed, according to the last notice or checkpoint.
    /// A hint how far to read; the status of the entries decides.
    executed: Position,
    domain: PhantomData<fn() -> D>,
}

#[async_trait]
impl<D: Domain> Stage for Baker<D> {
    const NAME: &'static str = "data-baker";

    async fn batch(&mut self) -> Result<bool, StoreError> {
        let from = self.baked().await?;
        let is_hint = self.executed > from;
        if !is_hint {
            self.executed = self.deps.source.checkpoint().await?.position;
        }
        if self.executed <= from {
            // The cached checkpoint is kept for a quick start of the next batch. If another
            // instance has led in the meantime, the commit is fenced.
            return Ok(false);
        }
        let started = Instant::now();
        let entries = self.executed_after(from).await?;
        if entries.is_empty() && is_hint {
            // The next batch reads the checkpoint instead.
            self.executed = 0;
            return Ok(true);
        }
        let baking = self.bake_and_commit(from, &entries).await?;
        measure(Self::NAME, entries.len(), started);
        counter!("bakehouse_documents_baked_total").increment(baking.documents.len() as u64);
        tracing::debug!(
            stage = Self::NAME,
            documents = baking.documents.len(),
            position = baking.to,
            "batch baked"
        );
        let frames = baking.frames;
        self.deps
            .notices
            .publish(Notice::Baked { from, frames })
            .await;
        failpoint("data-baker.notified");
        Ok(true)
    }

    fn on_notice(&mut self, notice: &Notice) {
        if let Notice::Executed { to, .. } = notice {
            self.executed = self.executed.max(*to);
        }
    }
}

#[async_trait]
impl<D: Domain> Rebuildable for Baker<D> {
    type Store = dyn PresentationStore;

    fn shadow(&self, presentation: Arc<dyn PresentationStore>) -> Self {
        let deps = BakerDeps {
            presentation,
            rebuilds: None,
            ..self.deps.clone()
        };
        Self::new(deps, self.max_batch)
    }

    async fn replay(&mut self, end: Position, limit: usize) -> Result<Position, StoreError> {
        let from = self.baked().await?;
        let remaining = remaining(from, end)?;
        if remaining == 0 {
            return Ok(from);
        }
        let count = remaining.min(limit).min(self.max_batch);
        let mut entries = self.deps.log.read(from, count).await?;
        truncate(&mut entries);
        if entries.is_empty() {
            // These entries exist and have verdicts: a replica of the log is behind.
            return Err(StoreError::unavailable(
                "log: read is behind the presentation",
            ));
        }
        Ok(self.bake_and_commit(from, &entries).await?.to)
    }

    fn position(&self) -> Option<Position> {
        self.baked
    }

    fn reset(&mut self) {
        self.baked = None;
    }
}

impl<D: Domain> Baker<D> {
    pub(crate) fn new(deps: BakerDeps, max_batch: usize) -> Self {
        Self {
            deps,
            max_batch,
            baked: None,
            executed: 0,
            domain: PhantomData,
        }
    }

    async fn baked(&mut self) -> Result<Position, StoreError> {
        let baked = match self.baked {
            Some(position) => position,
            None => {
                let epoch = self.deps.log.epoch().await?;
                self.deps.presentation.open(&epoch).await?
            }
        };
        self.baked = Some(baked);
        Ok(baked)
    }

    /// Bakes the entries and commits the result.
    async fn bake_and_commit(
        &mut self,
        from: Position,
        entries: &[LogEntry],
    ) -> Result<Baking, StoreError> {
        // After an error the checkpoint is read from the store.
        self.baked = None;
        failpoint("data-baker.read");
        let baking = self.bake(from, entries).await?;
        failpoint("data-baker.baked");
        self.deps.presentation.commit(&baking).await?;
        failpoint("data-baker.committed");
        self.baked = Some(baking.to);
        Ok(baking)
    }

    /// Reads the executed entries after a position. `self.executed` limits how far to read.
    async fn executed_after(&self, from: Position) -> Result<Vec<LogEntry>, StoreError> {
        let ready = usize::try_from(self.executed - from).unwrap_or(usize::MAX);
        let mut entries = self.deps.log.read(from, ready.min(self.max_batch)).await?;
        truncate(&mut entries);
        Ok(entries)
    }

    async fn bake(&self, from: Position, entries: &[LogEntry]) -> Result<Baking, StoreError> {
        let Some(last) = entries.last() else {
            return Err(StoreError::Hole {
                expected: from + 1,
                found: self.executed,
            });
        };
        let records = self.entities_of(entries).await?;
        let needed = needs_history::<D>(entries, &records);
        let range = (from, last.position);
        let may_have_snapshot = |id: &str| {
            let version = records.get(id).map_or(0, |record| record.version);
            version >= D::SNAPSHOT_INTERVAL || !D::SNAPSHOT_ON.is_empty()
        };
        let histories = self.histories(needed, range, may_have_snapshot).await?;
        match bake::<D>(from, entries, &records, &histories, Trust::State) {
            Err(StoreError::Corrupt(reason)) => {
                let stage = Self::NAME;
                tracing::error!(stage, "source state invalid, baking from the log: {reason}");
                let all = entity_ids(entries).into_iter().map(str::to_owned).collect();
                let histories = self.histories(all, range, |_| false).await?;
                bake::<D>(from, entries, &records, &histories, Trust::Log)
            }
            baked => baked,
        }
    }

    /// Loads the entities that the entries concern.
    async fn entities_of(
        &self,
        entries: &[LogEntry],
    ) -> Result<HashMap<String, EntityRecord>, StoreError> {
        self.deps.source.load(&entity_ids(entries)).await
    }

    /// Reads the histories of entities, starting with the latest snapshot that is not past the
    /// checkpoint, if there is one.
    async fn histories(
        &self,
        ids: Vec<String>,
        (from, up_to): (Position, Position),
        may_have_snapshot: impl Fn(&str) -> bool,
    ) -> Result<HashMap<String, History>, StoreError> {
        let candidates = ids.iter().map(String::as_str);
        let candidates: Vec<&str> = candidates.filter(|id| may_have_snapshot(id)).collect();
        let mut bases = if candidates.is_empty() {
            HashMap::new()
        } else {
            self.deps.source.snapshots(&candidates, from).await?
        };
        let histories = ids.into_iter().map(|id| {
            let base = bases.remove(&id);
            self.history(id, base, up_to)
        });
        stream::iter(histories)
            .buffer_unordered(MAX_CONCURRENT_READS)
            .try_collect()
            .await
    }

    /// Reads the history of an entity after its snapshot, if there is one.
    async fn history(
        &self,
        id: String,
        base: Option<EntityRecord>,
        up_to: Position,
    ) -> Result<(String, History), StoreError> {
        let after = base.as_ref().map_or(0, |base| base.position);
        let mut entries = Vec::new();
        if after > 0 {
            // A resolution in the batch may resolve entries that are older than the snapshot.
            entries = self.deps.log.ever_parked(&[&id]).await?;
            entries.retain(|entry| entry.position <= after);
        }
        entries.extend(self.deps.log.history(&id, after, up_to).await?);
        Ok((id, History { base, entries }))
    }
}

/// Removes all entries from the first one on that has no verdict yet.
fn truncate(entries: &mut Vec<LogEntry>) {
    let mut all = entries.iter();
    let first_pending = all.position(|entry| entry.status == EntryStatus::Stored);
    entries.truncate(first_pending.unwrap_or(entries.len()));
}
