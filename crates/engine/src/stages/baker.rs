//! data-baker: the source state into ready-to-read documents and feed frames.
//!
//! 1. while it holds the lease: see how far the log has been executed;
//! 2. read the events in between, and the entities that they concern;
//! 3. bake them ([`crate::bake`]);
//! 4. commit documents, frames and checkpoint at once, conditional on the
//!    checkpoint being where it was;
//! 5. tell every api-server.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use metrics::counter;

use crate::fault_injection::{self, point};
use crate::model::log_entry::entity_ids;
use crate::ports::{
    Baking, EventLog, Leases, Notice, Notices, PresentationStore, ShadowStores, SourceStore,
    StoreError, Topic,
};
use crate::rebuild::{RebuildRunner, Rebuildable, left};
use crate::stages::bake::{History, Trust, bake, needs_history};
use crate::stages::leadership::LeaderElection;
use crate::stages::runner::{Stage, Wake, lead, measure};
use crate::{Domain, EntityRecord, EntryStatus, LogEntry, Position, Shutdown};

/// Pasts that are read at once.
const AT_ONCE: usize = 8;

/// What data-baker stands between.
#[derive(Clone)]
pub struct BakerDeps {
    /// What happened.
    pub log: Arc<dyn EventLog>,
    /// What it led to.
    pub source: Arc<dyn SourceStore>,
    /// Where the documents go.
    pub presentation: Arc<dyn PresentationStore>,
    /// Who leads; in the presentation database.
    pub leases: Arc<dyn Leases>,
    /// Who wakes it, and who is told.
    pub notices: Arc<dyn Notices>,
    /// Where the presentation is made anew, if it ever is.
    pub rebuilds: Option<Arc<dyn ShadowStores<dyn PresentationStore>>>,
}

/// How data-baker works.
#[derive(Clone, Debug)]
pub struct BakerSettings {
    /// Name of this instance.
    pub instance: String,
    /// How often it looks although nobody told it to.
    pub sweep_interval: Duration,
    /// Events a batch at most.
    pub max_batch: usize,
    /// How long its lease lasts without being renewed.
    pub lease_ttl: Duration,
}

/// Runs until shutdown.
pub async fn run<D: Domain>(deps: BakerDeps, settings: BakerSettings, shutdown: Shutdown) {
    let deps = fault_injection::baker(deps);
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
        interval: settings.sweep_interval,
        news: None,
    };
    let rebuilds = deps.rebuilds.clone();
    let baker = Baker::<D>::new(deps, settings.max_batch);
    let mut baker = RebuildRunner::new(baker, rebuilds);
    lead(&mut baker, &wake, &election, &shutdown).await;
}

/// The stage.
pub(crate) struct Baker<D> {
    deps: BakerDeps,
    max_batch: usize,
    /// How far it has baked; `None`: to be read from the store.
    baked: Option<Position>,
    /// How far the log has been executed, by what was last heard or seen: a hint
    /// for where to look. The events' own status is the truth.
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
            // Where it stands is remembered, for a quick start when the next event comes;
            // should another instance have led meanwhile, the commit is fenced.
            return Ok(false);
        }
        let began = Instant::now();
        let events = self.executed_after(from).await?;
        if events.is_empty() && is_hint {
            // The checkpoint will tell.
            self.executed = 0;
            return Ok(true);
        }
        let baking = self.carry_out(from, &events).await?;
        measure(Self::NAME, events.len(), began);
        counter!("bakehouse_documents_baked_total").increment(baking.documents.len() as u64);
        tracing::info!(
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
        point("data-baker.told");
        Ok(true)
    }

    fn hear(&mut self, notice: &Notice) {
        if let Notice::Executed { to, .. } = notice {
            self.executed = self.executed.max(*to);
        }
    }
}

#[async_trait]
impl<D: Domain> Rebuildable for Baker<D> {
    type Store = dyn PresentationStore;

    fn beside(&self, presentation: Arc<dyn PresentationStore>) -> Self {
        let deps = BakerDeps {
            presentation,
            rebuilds: None,
            ..self.deps.clone()
        };
        Self::new(deps, self.max_batch)
    }

    async fn make(&mut self, end: Position, most: usize) -> Result<Position, StoreError> {
        let from = self.baked().await?;
        let left = left(from, end)?;
        if left == 0 {
            return Ok(from);
        }
        let count = left.min(most).min(self.max_batch);
        let mut events = self.deps.log.read(from, count).await?;
        truncate(&mut events);
        if events.is_empty() {
            // They are there, and have verdicts: what was read is old.
            return Err(StoreError::unavailable("the log is behind what was baked"));
        }
        Ok(self.carry_out(from, &events).await?.to)
    }

    fn at(&self) -> Option<Position> {
        self.baked
    }

    fn forget(&mut self) {
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

    /// Bakes the events, and commits that.
    async fn carry_out(
        &mut self,
        from: Position,
        events: &[LogEntry],
    ) -> Result<Baking, StoreError> {
        // After an error it is to be read anew.
        self.baked = None;
        point("data-baker.read");
        let baking = self.bake(from, events).await?;
        point("data-baker.baked");
        self.deps.presentation.commit(&baking).await?;
        point("data-baker.committed");
        self.baked = Some(baking.to);
        Ok(baking)
    }

    /// The events that have been executed; `self.executed` says only how far it
    /// is worth reading.
    async fn executed_after(&self, from: Position) -> Result<Vec<LogEntry>, StoreError> {
        let ready = usize::try_from(self.executed - from).unwrap_or(usize::MAX);
        let mut events = self.deps.log.read(from, ready.min(self.max_batch)).await?;
        truncate(&mut events);
        Ok(events)
    }

    async fn bake(&self, from: Position, events: &[LogEntry]) -> Result<Baking, StoreError> {
        let Some(last) = events.last() else {
            return Err(StoreError::Hole {
                expected: from + 1,
                found: self.executed,
            });
        };
        let records = self.concerned(events).await?;
        let needed = needs_history::<D>(events, &records);
        let span = (from, last.position);
        let kept = |id: &str| {
            let version = records.get(id).map_or(0, |record| record.version);
            version >= D::SNAPSHOT_EVERY || !D::SNAPSHOT_ON.is_empty()
        };
        let histories = self.histories(needed, span, kept).await?;
        match bake::<D>(from, events, &records, &histories, Trust::State) {
            Err(StoreError::Corrupt(what)) => {
                tracing::error!(stage = Self::NAME, "baking from the log alone: {what}");
                let all = entity_ids(events).into_iter().map(str::to_owned).collect();
                let histories = self.histories(all, span, |_| false).await?;
                bake::<D>(from, events, &records, &histories, Trust::Log)
            }
            baked => baked,
        }
    }

    /// The entities that the events changed, or were refused for.
    async fn concerned(
        &self,
        events: &[LogEntry],
    ) -> Result<HashMap<String, EntityRecord>, StoreError> {
        self.deps.source.load(&entity_ids(events)).await
    }

    /// Their pasts, as short as they can be had: from a snapshot on that is not past
    /// what has been baked, where there may be one that can be trusted.
    async fn histories(
        &self,
        ids: Vec<String>,
        (from, up_to): (Position, Position),
        may_have_snapshot: impl Fn(&str) -> bool,
    ) -> Result<HashMap<String, History>, StoreError> {
        let kept = ids.iter().map(String::as_str);
        let kept: Vec<&str> = kept.filter(|id| may_have_snapshot(id)).collect();
        let mut bases = if kept.is_empty() {
            HashMap::new()
        } else {
            self.deps.source.snapshots(&kept, from).await?
        };
        let pasts = ids.into_iter().map(|id| {
            let base = bases.remove(&id);
            self.past(id, base, up_to)
        });
        stream::iter(pasts)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    /// One's past, after its snapshot if there is one.
    async fn past(
        &self,
        id: String,
        base: Option<EntityRecord>,
        up_to: Position,
    ) -> Result<(String, History), StoreError> {
        let after = base.as_ref().map_or(0, |base| base.position);
        let mut events = Vec::new();
        if after > 0 {
            // A remedy in the run may settle what is older than the snapshot.
            events = self.deps.log.held(&[&id]).await?;
            events.retain(|event| event.position <= after);
        }
        events.extend(self.deps.log.history(&id, after, up_to).await?);
        Ok((id, History { base, events }))
    }
}

/// Nothing from the first on that has no verdict yet.
fn truncate(events: &mut Vec<LogEntry>) {
    let mut all = events.iter();
    let pending = all.position(|event| event.status == EntryStatus::Stored);
    events.truncate(pending.unwrap_or(events.len()));
}
