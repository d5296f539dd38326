//! Source state and leases in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::ports::{
    Checkpoint, EntityWrite, Execution, Lease, Leases, Progress, ShadowStores, Slot, SourceStore,
    StoreError,
};
use bakehouse_engine::{EntityRecord, Position};
use tokio::time::Instant;

use crate::rebuilds::{MemoryRebuilds, SlotState, Slots};
use crate::{MemoryLog, lock};

/// Source state in memory; clones share it.
#[derive(Clone)]
pub struct MemorySource {
    pub(crate) log: MemoryLog,
    pub(crate) slots: Slots<State>,
    pub(crate) slot: Slot,
}

#[derive(Default)]
pub(crate) struct State {
    checkpoint: Checkpoint,
    pub(crate) entities: HashMap<String, EntityRecord>,
    pub(crate) snapshots: BTreeMap<(String, Position), EntityRecord>,
}

impl MemorySource {
    /// Creates an empty state, which writes its verdicts to `log`.
    #[must_use]
    pub fn new(log: MemoryLog) -> Self {
        Self {
            log,
            slots: Slots::default(),
            slot: Slot::Live,
        }
    }

    /// Returns the rebuilds of the source state.
    #[must_use]
    pub fn rebuilds(&self) -> Arc<dyn ShadowStores<dyn SourceStore>> {
        let this = self.clone();
        Arc::new(MemoryRebuilds {
            slots: self.slots.clone(),
            open: Box::new(move |slot| {
                let source: Arc<dyn SourceStore> = Arc::new(MemorySource {
                    slot,
                    ..this.clone()
                });
                source
            }),
        })
    }

    pub(crate) fn read<R>(
        &self,
        work: impl FnOnce(&mut State) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.slots.with(Slot::Live, work)
    }
}

#[async_trait]
impl Progress for MemorySource {
    async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.slots.with(self.slot, |state| Ok(state.checkpoint))
    }

    async fn snapshots(
        &self,
        ids: &[&str],
        up_to: Position,
    ) -> Result<HashMap<String, EntityRecord>, StoreError> {
        self.slots.with(self.slot, |state| {
            let latest = |id: &&str| {
                let span = ((*id).to_owned(), 0)..=((*id).to_owned(), up_to);
                let (_, record) = state.snapshots.range(span).next_back()?;
                Some((record.id.clone(), record.clone()))
            };
            Ok(ids.iter().filter_map(latest).collect())
        })
    }
}

#[async_trait]
impl SourceStore for MemorySource {
    async fn load(&self, ids: &[&str]) -> Result<HashMap<String, EntityRecord>, StoreError> {
        self.slots.with(self.slot, |state| {
            let found = ids.iter().filter_map(|id| state.entities.get(*id));
            let found = found.map(|record| (record.id.clone(), record.clone()));
            Ok(found.collect())
        })
    }

    async fn commit(&self, execution: &Execution) -> Result<(), StoreError> {
        self.slots.with(self.slot, |state| {
            state.commit(execution)?;
            if self.slot == Slot::Live {
                let from = execution.from.position;
                self.log
                    .write_verdicts(from, &execution.verdicts, execution.executed_at);
                self.log.resolve(&execution.resolved, execution.executed_at);
            }
            Ok(())
        })
    }
}

impl SlotState for State {
    fn position(&self) -> Position {
        self.checkpoint.position
    }
}

impl State {
    fn commit(&mut self, execution: &Execution) -> Result<(), StoreError> {
        let is_at = |write: &EntityWrite| self.position_of(&write.record.id) == write.expected;
        if self.checkpoint != execution.from || !execution.entities.iter().all(is_at) {
            return Err(StoreError::Fenced);
        }
        for write in &execution.entities {
            let record = write.record.clone();
            self.entities.insert(record.id.clone(), record);
        }
        for record in &execution.snapshots {
            let key = (record.id.clone(), record.position);
            self.snapshots.insert(key, record.clone());
        }
        self.checkpoint = execution.to;
        Ok(())
    }

    fn position_of(&self, id: &str) -> Option<Position> {
        self.entities.get(id).map(|record| record.position)
    }
}

/// Leases in memory; they expire by tokio's clock.
#[derive(Clone, Default)]
pub struct MemoryLeases {
    held: Arc<Mutex<HashMap<String, Held>>>,
}

struct Held {
    lease: Lease,
    until: Instant,
}

#[async_trait]
impl Leases for MemoryLeases {
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let mut leases = lock(&self.held);
        let now = Instant::now();
        let held = leases.get(name);
        let epoch = match held {
            Some(held) if held.lease.holder == holder => held.lease.epoch,
            Some(held) if held.until > now => return Ok(None),
            Some(held) => held.lease.epoch + 1,
            None => 1,
        };
        let lease = Lease {
            holder: holder.to_owned(),
            epoch,
        };
        let until = now + time_to_live;
        let held = Held {
            lease: lease.clone(),
            until,
        };
        leases.insert(name.to_owned(), held);
        Ok(Some(lease))
    }

    async fn renew(
        &self,
        name: &str,
        lease: &Lease,
        time_to_live: Duration,
    ) -> Result<bool, StoreError> {
        let mut leases = lock(&self.held);
        let ours = leases.get_mut(name).filter(|held| held.lease == *lease);
        Ok(ours.is_some_and(|held| {
            held.until = Instant::now() + time_to_live;
            true
        }))
    }

    async fn release(&self, name: &str, lease: &Lease) -> Result<(), StoreError> {
        let mut leases = lock(&self.held);
        if let Some(held) = leases.get_mut(name).filter(|held| held.lease == *lease) {
            held.until = Instant::now();
        }
        Ok(())
    }
}
