//! Execution of a batch of log entries. Pure, so that a repetition gives the same result.
//!
//! An operation that can be neither executed nor rejected is parked, together with all later
//! operations of the same entity, until a [`Resolution`] retries or discards it. Other entities are
//! not affected.

use std::collections::{HashMap, VecDeque};

use serde::Serialize;

use crate::ports::{Checkpoint, EntityWrite, Execution, ResolvedEntry, StoreError, Verdict};
use crate::stages::step::{ExecutionContext, Outcome, execute_entry};
use crate::{
    Domain, Entity, EntityRecord, EntryStatus, LogEntry, Position, Rejection, Resolution,
    Timestamp, Verb,
};

/// Executes `entries`, which follow `from` without a gap. `records` holds the existing entities
/// among those concerned. `parked` holds all entries of these entities that have ever been parked,
/// in order; it may be empty if `from` counts no parked entries.
///
/// # Errors
/// [`StoreError::Fenced`] when an entity is ahead of the entries, because another instance has
/// executed them; [`StoreError::Corrupt`] when an entry that is marked as executed cannot be
/// executed.
pub fn execute<D: Domain>(
    from: Checkpoint,
    entries: &[LogEntry],
    records: HashMap<String, EntityRecord>,
    parked: Vec<LogEntry>,
    now: Timestamp,
) -> Result<Execution, StoreError> {
    let mut state = BatchState::<D>::load(from, records, parked);
    let mut verdicts = Vec::with_capacity(entries.len());
    for entry in entries {
        verdicts.push(state.execute(entry)?);
    }
    let latest = entries.last().map_or(now, |entry| entry.creation_time);
    Ok(Execution {
        from,
        to: state.checkpoint,
        executed_at: now.max(latest),
        resolved: std::mem::take(&mut state.resolved),
        snapshots: std::mem::take(&mut state.snapshots),
        entities: state.writes()?,
        verdicts,
    })
}

/// Entities of the batch, as they are between two entries.
struct BatchState<D: Domain> {
    slots: HashMap<String, EntitySlot<D::State>>,
    checkpoint: Checkpoint,
    resolved: Vec<ResolvedEntry>,
    snapshots: Vec<EntityRecord>,
}

/// An entity of the batch.
struct EntitySlot<S> {
    /// Position of the stored entity; `None` if it is not stored.
    loaded: Option<Position>,
    /// Current entity, if it exists; or the reason why its state cannot be read.
    entity: Result<Option<Entity<S>>, String>,
    /// Parked entries, in order.
    parked: VecDeque<LogEntry>,
}

impl<S: Serialize> EntitySlot<S> {
    fn version(&self) -> u64 {
        match &self.entity {
            Ok(Some(entity)) => entity.version,
            _ => 0,
        }
    }

    /// Returns the entity in its stored form, if it exists.
    fn record(&self) -> Result<Option<EntityRecord>, StoreError> {
        let Ok(Some(entity)) = &self.entity else {
            return Ok(None);
        };
        entity.record().map(Some).map_err(StoreError::corrupt)
    }
}

impl<S> Default for EntitySlot<S> {
    fn default() -> Self {
        Self {
            loaded: None,
            entity: Ok(None),
            parked: VecDeque::new(),
        }
    }
}

impl<D: Domain> BatchState<D> {
    fn load(
        from: Checkpoint,
        records: HashMap<String, EntityRecord>,
        parked: Vec<LogEntry>,
    ) -> Self {
        let mut slots: HashMap<String, EntitySlot<D::State>> =
            HashMap::with_capacity(records.len());
        for (id, record) in records {
            let slot = EntitySlot {
                loaded: Some(record.position),
                entity: read_state::<D>(record)
                    .map(Some)
                    .map_err(|error| error.to_string()),
                parked: VecDeque::new(),
            };
            slots.insert(id, slot);
        }
        // An entry that is resolved later in the log is still parked at this checkpoint.
        let is_parked = |entry: &LogEntry| {
            let is_resolved = entry.resolved_by.is_some_and(|by| by <= from.position);
            entry.position <= from.position && !is_resolved
        };
        for entry in parked.into_iter().filter(is_parked) {
            let slot = slots.entry(entry.entity_id().to_owned()).or_default();
            slot.parked.push_back(entry);
        }
        Self {
            slots,
            checkpoint: from,
            resolved: Vec::new(),
            snapshots: Vec::new(),
        }
    }

    fn execute(&mut self, entry: &LogEntry) -> Result<Verdict, StoreError> {
        let id = entry.entity_id();
        let mut slot = self.slots.remove(id).unwrap_or_default();
        if slot.loaded.is_some_and(|loaded| loaded >= entry.position) {
            return Err(StoreError::Fenced);
        }
        let before = slot.version();
        let verdict = if entry.operation.operation.is_resolution() {
            self.execute_resolution(&mut slot, entry)?
        } else {
            self.execute_command(&mut slot, entry)?
        };
        self.checkpoint.position = entry.position;
        let is_snapshot_change = matches!(&verdict, Verdict::Executed { change }
            if D::SNAPSHOT_ON.contains(&change.as_str()));
        if is_snapshot_change
            || before / D::SNAPSHOT_INTERVAL < slot.version() / D::SNAPSHOT_INTERVAL
        {
            self.snapshots.extend(slot.record()?);
        }
        self.slots.insert(id.to_owned(), slot);
        Ok(verdict)
    }

    /// Executes a command of the domain, or parks it.
    fn execute_command(
        &mut self,
        slot: &mut EntitySlot<D::State>,
        entry: &LogEntry,
    ) -> Result<Verdict, StoreError> {
        let outcome = match (&entry.parked, slot.parked.front()) {
            (Some(reason), _) => Outcome::Parked(reason.clone()),
            (None, Some(first)) if entry.status == EntryStatus::Stored => {
                Outcome::Parked(format!("position {} is parked before it", first.position))
            }
            _ => self.attempt(slot, entry, entry)?,
        };
        if matches!(outcome, Outcome::Parked(_)) {
            slot.parked.push_back(entry.clone());
            self.checkpoint.parked += 1;
        }
        Ok(verdict(outcome))
    }

    /// Executes an entry with the position and time of `effective`: the entry itself, or the
    /// resolution that retries it.
    fn attempt(
        &mut self,
        slot: &mut EntitySlot<D::State>,
        entry: &LogEntry,
        effective: &LogEntry,
    ) -> Result<Outcome, StoreError> {
        let entity = match &mut slot.entity {
            Ok(entity) => entity,
            Err(reason) if entry.status == EntryStatus::Executed => {
                return Err(StoreError::Corrupt(reason.clone()));
            }
            Err(reason) => return Ok(Outcome::Parked(reason.clone())),
        };
        let is_new = entity.is_none();
        let context = ExecutionContext {
            moment: effective.moment(),
            number: self.checkpoint.entities + 1,
        };
        let outcome = execute_entry::<D>(entity, entry, context)?;
        if is_new && matches!(outcome, Outcome::Executed(_)) {
            self.checkpoint.entities += 1;
        }
        Ok(outcome)
    }

    /// Executes a `RETRY` or `DISCARD`.
    fn execute_resolution(
        &mut self,
        slot: &mut EntitySlot<D::State>,
        entry: &LogEntry,
    ) -> Result<Verdict, StoreError> {
        if entry.status == EntryStatus::Rejected {
            return Ok(Verdict::Rejected(entry.rejection()));
        }
        let first = slot
            .parked
            .front()
            .map(|first| first.operation.operation_id);
        let resolution =
            Resolution::of(entry).filter(|resolution| first == Some(resolution.operation_id));
        let Some(resolution) = resolution else {
            let reason = format!("not the first parked operation of this {}", D::NAME);
            return Ok(Verdict::Rejected(Rejection::new(reason)));
        };
        let verb = entry.operation.operation;
        if verb == Verb::Discard {
            let reason = resolution.reason.as_deref().unwrap_or("no reason given");
            let rejection = Rejection::new(format!("discarded by an operator: {reason}"));
            let outcome = Outcome::Rejected(rejection);
            self.resolve(slot, entry, outcome);
        }
        let mut summary = ChangeSummary::default();
        while let Some(next) = slot.parked.front().cloned() {
            let was_executed = entry.status == EntryStatus::Executed;
            if was_executed && next.resolved_by != Some(entry.position) {
                break;
            }
            let existed = matches!(slot.entity, Ok(Some(_)));
            match self.attempt(slot, &next, entry)? {
                Outcome::Parked(reason) if first == Some(next.operation.operation_id) => {
                    let reason = format!("retry failed: {reason}");
                    return Ok(Verdict::Rejected(Rejection::new(reason)));
                }
                Outcome::Parked(_) => break,
                outcome => {
                    summary.add(&outcome, existed);
                    self.resolve(slot, entry, outcome);
                }
            }
        }
        let change = summary
            .change
            .unwrap_or(verb.resolution_change())
            .to_owned();
        Ok(Verdict::Executed { change })
    }

    /// Removes the first parked entry and records its verdict.
    fn resolve(
        &mut self,
        slot: &mut EntitySlot<D::State>,
        resolution: &LogEntry,
        outcome: Outcome,
    ) {
        if let Some(entry) = slot.parked.pop_front() {
            self.checkpoint.parked = self.checkpoint.parked.saturating_sub(1);
            self.resolved.push(ResolvedEntry {
                position: entry.position,
                by: resolution.position,
                verdict: verdict(outcome),
            });
        }
    }

    /// Returns the entities that differ from the store, in the order of their positions.
    fn writes(self) -> Result<Vec<EntityWrite>, StoreError> {
        let mut writes = Vec::new();
        for slot in self.slots.into_values() {
            let Some(record) = slot.record()? else {
                continue;
            };
            if slot.loaded == Some(record.position) {
                continue;
            }
            writes.push(EntityWrite {
                record,
                expected: slot.loaded,
            });
        }
        writes.sort_unstable_by_key(|write| write.record.position);
        Ok(writes)
    }
}

/// Name of the change that a resolution led to: the creation of the entity, or else the last
/// change.
#[derive(Default)]
struct ChangeSummary {
    change: Option<&'static str>,
    is_created: bool,
}

impl ChangeSummary {
    fn add(&mut self, outcome: &Outcome, existed: bool) {
        if let Outcome::Executed(change) = outcome
            && !self.is_created
        {
            self.change = Some(change);
            self.is_created = !existed;
        }
    }
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Executed(change) => Verdict::Executed {
            change: change.to_owned(),
        },
        Outcome::Rejected(rejection) => Verdict::Rejected(rejection),
        Outcome::Parked(reason) => Verdict::Parked { reason },
    }
}

/// Reads the domain's state of a stored entity.
///
/// # Errors
/// [`StoreError::Corrupt`] when the stored state is invalid.
pub(crate) fn read_state<D: Domain>(record: EntityRecord) -> Result<Entity<D::State>, StoreError> {
    let id = record.id.clone();
    record
        .try_map(|state| serde_json::from_str(state.get()))
        .map_err(|error| StoreError::Corrupt(format!("state of {} {id}: {error}", D::NAME)))
}
