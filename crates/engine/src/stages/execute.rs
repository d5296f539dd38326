//! Executing a run of events: pure, so that doing it twice gives the same.
//!
//! What can be neither executed nor refused is parked, and with it everything
//! of the same entity that comes after it, until a [`Resolution`] settles it. All
//! other entities go on.

use std::collections::{HashMap, VecDeque};

use serde::Serialize;

use crate::ports::{Checkpoint, EntityWrite, Execution, Settlement, StoreError, Verdict};
use crate::stages::step::{ExecutionContext, Outcome, replay};
use crate::{
    Domain, Entity, EntityRecord, EntryStatus, LogEntry, Position, Rejection, Resolution,
    Timestamp, Verb,
};

/// Executes `events`, which follow `from` without a gap, on the entities that
/// exist among those concerned. `held` are the events of those entities that
/// have ever been parked, in order; none are needed if `from` has none parked.
///
/// # Errors
/// [`StoreError::Fenced`] when an entity is ahead of the events, so that
/// somebody else has executed them; [`StoreError::Corrupt`] when an event that
/// the log has as executed cannot be executed now.
pub fn execute<D: Domain>(
    from: Checkpoint,
    events: &[LogEntry],
    records: HashMap<String, EntityRecord>,
    held: Vec<LogEntry>,
    now: Timestamp,
) -> Result<Execution, StoreError> {
    let mut bench = BatchState::<D>::load(from, records, held);
    let mut verdicts = Vec::with_capacity(events.len());
    for event in events {
        verdicts.push(bench.execute(event)?);
    }
    let latest = events.last().map_or(now, |event| event.creation_time);
    Ok(Execution {
        from,
        to: bench.tally,
        executed_at: now.max(latest),
        settlements: std::mem::take(&mut bench.settlements),
        snapshots: std::mem::take(&mut bench.snapshots),
        entities: bench.writes()?,
        verdicts,
    })
}

/// The entities at hand, as they are between two events.
struct BatchState<D: Domain> {
    places: HashMap<String, Place<D::State>>,
    tally: Checkpoint,
    settlements: Vec<Settlement>,
    snapshots: Vec<EntityRecord>,
}

/// An entity's place on the bench.
struct Place<S> {
    /// The position at which the store has it.
    loaded: Option<Position>,
    /// What it is; or why that cannot be read.
    entity: Result<Option<Entity<S>>, String>,
    /// What is parked of it, in order.
    held: VecDeque<LogEntry>,
}

impl<S: Serialize> Place<S> {
    fn version(&self) -> u64 {
        match &self.entity {
            Ok(Some(entity)) => entity.version,
            _ => 0,
        }
    }

    /// The entity as a store has it, if there is one.
    fn record(&self) -> Result<Option<EntityRecord>, StoreError> {
        let Ok(Some(entity)) = &self.entity else {
            return Ok(None);
        };
        entity.record().map(Some).map_err(StoreError::corrupt)
    }
}

impl<S> Default for Place<S> {
    fn default() -> Self {
        Self {
            loaded: None,
            entity: Ok(None),
            held: VecDeque::new(),
        }
    }
}

impl<D: Domain> BatchState<D> {
    fn load(from: Checkpoint, records: HashMap<String, EntityRecord>, held: Vec<LogEntry>) -> Self {
        let mut places: HashMap<String, Place<D::State>> = HashMap::with_capacity(records.len());
        for (id, record) in records {
            let place = Place {
                loaded: Some(record.position),
                entity: read_state::<D>(record)
                    .map(Some)
                    .map_err(|error| error.to_string()),
                held: VecDeque::new(),
            };
            places.insert(id, place);
        }
        // What is settled further on in the log is still parked here.
        let is_held = |event: &LogEntry| {
            let is_settled = event.settled_by.is_some_and(|by| by <= from.position);
            event.position <= from.position && !is_settled
        };
        for event in held.into_iter().filter(is_held) {
            let place = places.entry(event.entity_id().to_owned()).or_default();
            place.held.push_back(event);
        }
        Self {
            places,
            tally: from,
            settlements: Vec::new(),
            snapshots: Vec::new(),
        }
    }

    fn execute(&mut self, event: &LogEntry) -> Result<Verdict, StoreError> {
        let id = event.entity_id();
        let mut place = self.places.remove(id).unwrap_or_default();
        if place.loaded.is_some_and(|loaded| loaded >= event.position) {
            return Err(StoreError::Fenced);
        }
        let before = place.version();
        let verdict = if event.operation.operation.is_resolution() {
            self.resolution(&mut place, event)?
        } else {
            self.take(&mut place, event)?
        };
        self.tally.position = event.position;
        let is_asked_for = matches!(&verdict, Verdict::Executed { change }
            if D::SNAPSHOT_ON.contains(&change.as_str()));
        if is_asked_for || before / D::SNAPSHOT_EVERY < place.version() / D::SNAPSHOT_EVERY {
            self.snapshots.extend(place.record()?);
        }
        self.places.insert(id.to_owned(), place);
        Ok(verdict)
    }

    fn take(
        &mut self,
        place: &mut Place<D::State>,
        event: &LogEntry,
    ) -> Result<Verdict, StoreError> {
        let outcome = match (&event.parked, place.held.front()) {
            (Some(reason), _) => Outcome::Stuck(reason.clone()),
            (None, Some(first)) if event.status == EntryStatus::Stored => {
                Outcome::Stuck(format!("position {} is parked before it", first.position))
            }
            _ => self.attempt(place, event, event)?,
        };
        if matches!(outcome, Outcome::Stuck(_)) {
            place.held.push_back(event.clone());
            self.tally.parked += 1;
        }
        Ok(verdict(outcome))
    }

    /// Carries out an event at the place in the log of `at`: itself, or the
    /// remedy that settles it.
    fn attempt(
        &mut self,
        place: &mut Place<D::State>,
        event: &LogEntry,
        at: &LogEntry,
    ) -> Result<Outcome, StoreError> {
        let entity = match &mut place.entity {
            Ok(entity) => entity,
            Err(reason) if event.status == EntryStatus::Executed => {
                return Err(StoreError::Corrupt(reason.clone()));
            }
            Err(reason) => return Ok(Outcome::Stuck(reason.clone())),
        };
        let is_new = entity.is_none();
        let context = ExecutionContext {
            moment: at.moment(),
            number: self.tally.entities + 1,
        };
        let outcome = replay::<D>(entity, event, context)?;
        if is_new && matches!(outcome, Outcome::Executed(_)) {
            self.tally.entities += 1;
        }
        Ok(outcome)
    }

    fn resolution(
        &mut self,
        place: &mut Place<D::State>,
        event: &LogEntry,
    ) -> Result<Verdict, StoreError> {
        if event.status == EntryStatus::Rejected {
            return Ok(Verdict::Rejected(event.rejection()));
        }
        let first = place.held.front().map(|first| first.operation.operation_id);
        let resolution =
            Resolution::of(event).filter(|resolution| first == Some(resolution.operation_id));
        let Some(resolution) = resolution else {
            let reason = format!("that is not the first operation parked of this {}", D::NAME);
            return Ok(Verdict::Rejected(Rejection::new(reason)));
        };
        let verb = event.operation.operation;
        if verb == Verb::Discard {
            let reason = resolution.reason.as_deref().unwrap_or("without a reason");
            let refusal = Rejection::new(format!("discarded by an operator: {reason}"));
            let outcome = Outcome::Rejected(refusal);
            self.settle(place, event, outcome);
        }
        let mut changes = Changes::default();
        while let Some(next) = place.held.front().cloned() {
            let is_replayed = event.status == EntryStatus::Executed;
            if is_replayed && next.settled_by != Some(event.position) {
                break;
            }
            let was_there = matches!(place.entity, Ok(Some(_)));
            match self.attempt(place, &next, event)? {
                Outcome::Stuck(reason) if first == Some(next.operation.operation_id) => {
                    let reason = format!("it is still stuck: {reason}");
                    return Ok(Verdict::Rejected(Rejection::new(reason)));
                }
                Outcome::Stuck(_) => break,
                outcome => {
                    changes.note(&outcome, was_there);
                    self.settle(place, event, outcome);
                }
            }
        }
        let change = changes.word.unwrap_or(verb.resolution_change()).to_owned();
        Ok(Verdict::Executed { change })
    }

    /// The first one parked is no longer.
    fn settle(&mut self, place: &mut Place<D::State>, resolution: &LogEntry, outcome: Outcome) {
        if let Some(event) = place.held.pop_front() {
            self.tally.parked = self.tally.parked.saturating_sub(1);
            self.settlements.push(Settlement {
                position: event.position,
                by: resolution.position,
                verdict: verdict(outcome),
            });
        }
    }

    /// What differs from the store, in the order of positions.
    fn writes(self) -> Result<Vec<EntityWrite>, StoreError> {
        let mut writes = Vec::new();
        for place in self.places.into_values() {
            let Some(record) = place.record()? else {
                continue;
            };
            if place.loaded == Some(record.position) {
                continue;
            }
            writes.push(EntityWrite {
                record,
                expected: place.loaded,
            });
        }
        writes.sort_unstable_by_key(|write| write.record.position);
        Ok(writes)
    }
}

/// What a remedy changed, in a word: that the entity came into being, or else
/// what changed last.
#[derive(Default)]
struct Changes {
    word: Option<&'static str>,
    is_created: bool,
}

impl Changes {
    fn note(&mut self, outcome: &Outcome, was_there: bool) {
        if let Outcome::Executed(change) = outcome
            && !self.is_created
        {
            self.word = Some(change);
            self.is_created = !was_there;
        }
    }
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Executed(change) => Verdict::Executed {
            change: change.to_owned(),
        },
        Outcome::Rejected(rejection) => Verdict::Rejected(rejection),
        Outcome::Stuck(reason) => Verdict::Parked { reason },
    }
}

/// Reads the domain's state out of a stored entity.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not a state of this domain.
pub(crate) fn read_state<D: Domain>(record: EntityRecord) -> Result<Entity<D::State>, StoreError> {
    let id = record.id.clone();
    record
        .try_map(|state| serde_json::from_str(state.get()))
        .map_err(|error| StoreError::Corrupt(format!("state of {} {id}: {error}", D::NAME)))
}
