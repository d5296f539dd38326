//! Executing a run of events: pure, so that doing it twice gives the same.

use std::collections::HashMap;

use crate::ports::{Checkpoint, EntityWrite, Execution, StoreError, Verdict};
use crate::{
    Domain, Entity, EntityRecord, Event, EventStatus, Position, Rejection, Terms, Timestamp,
    to_json,
};

/// Why an event with a reused idempotency key is refused.
const CONFLICT: &str = "the idempotency key was used before with other content";

/// Executes `events`, which follow `from` without a gap, on the entities that
/// exist among those concerned.
///
/// # Errors
/// [`StoreError::Fenced`] when an entity is ahead of the events, so that
/// somebody else has executed them; [`StoreError::Corrupt`] when a stored state
/// cannot be read, or an event that the log has as executed is now refused.
pub fn execute<D: Domain>(
    from: Checkpoint,
    events: &[Event],
    records: HashMap<String, EntityRecord>,
    now: Timestamp,
) -> Result<Execution, StoreError> {
    let mut bench = Workbench::<D>::load(records)?;
    let mut to = from;
    let mut verdicts = Vec::with_capacity(events.len());
    for event in events {
        verdicts.push(bench.execute(event, &mut to.entities)?);
        to.position = event.position;
    }
    let latest = events.last().map_or(now, |event| event.creation_time);
    Ok(Execution {
        from,
        to,
        executed_at: now.max(latest),
        entities: bench.writes()?,
        verdicts,
    })
}

/// The entities at hand, as they are between two events.
struct Workbench<D: Domain> {
    places: HashMap<String, Place<D::State>>,
}

/// An entity's place on the bench.
struct Place<S> {
    /// The position at which the store has it.
    loaded: Option<Position>,
    entity: Option<Entity<S>>,
}

impl<D: Domain> Workbench<D> {
    fn load(records: HashMap<String, EntityRecord>) -> Result<Self, StoreError> {
        let mut places = HashMap::with_capacity(records.len());
        for (id, record) in records {
            let place = Place {
                loaded: Some(record.position),
                entity: Some(read_state::<D>(record)?),
            };
            places.insert(id, place);
        }
        Ok(Self { places })
    }

    fn execute(&mut self, event: &Event, entities: &mut u64) -> Result<Verdict, StoreError> {
        let place = self.place(event.entity_id());
        if place.loaded.is_some_and(|loaded| loaded >= event.position) {
            return Err(StoreError::Fenced);
        }
        let is_new = place.entity.is_none();
        match replay::<D>(&mut place.entity, event, *entities + 1)? {
            Ok(change) => {
                *entities += u64::from(is_new);
                Ok(Verdict::Executed {
                    change: change.to_owned(),
                })
            }
            Err(Rejection(reason)) => Ok(Verdict::Rejected { reason }),
        }
    }

    fn place(&mut self, id: &str) -> &mut Place<D::State> {
        self.places.entry(id.to_owned()).or_insert(Place {
            loaded: None,
            entity: None,
        })
    }

    /// What differs from the store, in the order of positions.
    fn writes(self) -> Result<Vec<EntityWrite>, StoreError> {
        let mut writes = Vec::new();
        for place in self.places.into_values() {
            let Some(entity) = place.entity else { continue };
            if place.loaded == Some(entity.position) {
                continue;
            }
            let record = entity.try_map(|state| to_json(&state));
            writes.push(EntityWrite {
                record: record.map_err(StoreError::corrupt)?,
                expected: place.loaded,
            });
        }
        writes.sort_unstable_by_key(|write| write.record.position);
        Ok(writes)
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

/// Carries out one event on its entity and says what changed, or why not.
///
/// A verdict that the log already has is kept to: what it refused stays
/// refused, whatever the domain's rules say today. `number` is what the entity
/// gets if this is its first event.
///
/// # Errors
/// [`StoreError::Corrupt`] when the domain refuses what the log has as executed.
pub(crate) fn replay<D: Domain>(
    entity: &mut Option<Entity<D::State>>,
    event: &Event,
    number: u64,
) -> Result<Result<&'static str, Rejection>, StoreError> {
    if event.status == EventStatus::Rejected {
        let reason = event.reason.clone().unwrap_or_default();
        return Ok(Err(Rejection(reason)));
    }
    let outcome = step::<D>(entity, event, number);
    match (&outcome, event.status) {
        (Err(rejection), EventStatus::Executed) => Err(StoreError::Corrupt(format!(
            "position {} was executed once and is refused now: {rejection}",
            event.position
        ))),
        _ => Ok(outcome),
    }
}

fn step<D: Domain>(
    entity: &mut Option<Entity<D::State>>,
    event: &Event,
    number: u64,
) -> Result<&'static str, Rejection> {
    let command = command::<D>(event)?;
    admit::<D>(entity.as_ref(), &event.operation.terms)?;
    let moment = event.moment();
    let state = entity.as_ref().map(|entity| &entity.state);
    let fact = D::decide(state, command, moment)?;
    let change = D::change(&fact);
    let before = entity.take();
    let envelope = before
        .as_ref()
        .map(|entity| (entity.number, entity.version, entity.created_at));
    let (number, version, created_at) = envelope.unwrap_or((number, 0, moment.at));
    let owner = match &before {
        Some(entity) => entity.owner.clone(),
        None => event.operation.terms.owner.clone(),
    };
    *entity = Some(Entity {
        id: event.entity_id().to_owned(),
        owner,
        number,
        position: moment.position,
        version: version + 1,
        created_at,
        updated_at: moment.at,
        state: D::apply(before.map(|entity| entity.state), fact, moment),
    });
    Ok(change)
}

/// Whether the operation may be executed on the entity as it is now. To anybody
/// but its owner an entity does not exist.
fn admit<D: Domain>(entity: Option<&Entity<D::State>>, terms: &Terms) -> Result<(), Rejection> {
    let missing = || Rejection(format!("there is no such {}", D::NAME));
    let Some(entity) = entity else {
        return terms.expected_version.map_or(Ok(()), |_| Err(missing()));
    };
    if terms.owner.is_some() && terms.owner != entity.owner {
        return Err(missing());
    }
    match terms.expected_version {
        Some(expected) if expected != entity.version => Err(Rejection(format!(
            "the {} is at version {}, not {expected}",
            D::NAME,
            entity.version
        ))),
        _ => Ok(()),
    }
}

fn command<D: Domain>(event: &Event) -> Result<D::Command, Rejection> {
    let operation = &event.operation;
    if operation.conflicts_with.is_some() {
        return Err(Rejection::new(CONFLICT));
    }
    if operation.service_name != D::NAME {
        let other = &operation.service_name;
        return Err(Rejection(format!(
            "no operation of service {other:?} is known here"
        )));
    }
    serde_json::from_str(operation.payload.get())
        .map_err(|error| Rejection(format!("the payload cannot be read: {error}")))
}
