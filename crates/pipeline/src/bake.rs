//! Baking a run of executed events: pure, so that doing it twice gives the same.
//!
//! Every position gets a frame with the document *as of that position*. The
//! source state holds only the latest: where it is already past a position, the
//! entity's own events are folded once more up to there.

use std::collections::HashMap;

use crate::execute::{read_state, replay};
use crate::frame::{Outcome, render};
use crate::ports::{Baking, DocumentWrite, StoreError};
use crate::{Domain, Entity, EntityRecord, Event, EventStatus, Frame, Position, to_json};

/// Which entities' histories [`bake`] needs: those whose state at some position
/// of the run can be had neither from the source nor from the run itself.
#[must_use]
pub fn needs_history(events: &[Event], records: &HashMap<String, EntityRecord>) -> Vec<String> {
    let mut ids: Vec<String> = executed_by_entity(events)
        .into_iter()
        .filter(|(id, run)| {
            records
                .get(*id)
                .is_some_and(|record| !is_latest(record, run) && !is_whole_life(record, run))
        })
        .map(|(id, _)| id.to_owned())
        .collect();
    ids.sort_unstable();
    ids
}

/// Bakes `events`, all with a verdict, which follow `from` without a gap.
///
/// `records` holds the source state of every entity that they changed, at least
/// as new as the last of them; `histories` what [`needs_history`] asked for.
///
/// # Errors
/// [`StoreError::Corrupt`] when log and source state contradict each other.
pub fn bake<D: Domain>(
    from: Position,
    events: &[Event],
    records: &HashMap<String, EntityRecord>,
    histories: &HashMap<String, Vec<Event>>,
) -> Result<Baking, StoreError> {
    let runs = executed_by_entity(events);
    let mut oven = Oven::<D> {
        from,
        runs,
        records,
        histories,
        entities: HashMap::new(),
        documents: HashMap::new(),
    };
    let mut frames = Vec::with_capacity(events.len());
    for event in events {
        frames.push(oven.frame(event)?);
    }
    let mut documents: Vec<_> = oven.documents.into_values().collect();
    documents.sort_unstable_by_key(|document| document.position);
    Ok(Baking {
        from,
        to: events.last().map_or(from, |event| event.position),
        documents,
        frames,
    })
}

fn executed_by_entity(events: &[Event]) -> HashMap<&str, Vec<&Event>> {
    let mut runs: HashMap<&str, Vec<&Event>> = HashMap::new();
    for event in events {
        if event.status == EventStatus::Executed {
            runs.entry(event.entity_id()).or_default().push(event);
        }
    }
    runs
}

/// One change, and the source state is just after it.
fn is_latest(record: &EntityRecord, run: &[&Event]) -> bool {
    run.len() == 1 && run[0].position == record.position
}

/// Everything that ever happened to the entity is in the run.
fn is_whole_life(record: &EntityRecord, run: &[&Event]) -> bool {
    record.version == run.len() as u64
}

struct Oven<'a, D: Domain> {
    from: Position,
    runs: HashMap<&'a str, Vec<&'a Event>>,
    records: &'a HashMap<String, EntityRecord>,
    histories: &'a HashMap<String, Vec<Event>>,
    /// Entities as of the event at hand.
    entities: HashMap<&'a str, Entity<D::State>>,
    documents: HashMap<&'a str, DocumentWrite>,
}

impl<'a, D: Domain> Oven<'a, D> {
    fn frame(&mut self, event: &'a Event) -> Result<Frame, StoreError> {
        match event.status {
            EventStatus::Executed => self.changed(event),
            EventStatus::Rejected => self.rejected(event),
            EventStatus::Stored => Err(StoreError::Corrupt(format!(
                "position {} has no verdict although it lies before the checkpoint",
                event.position
            ))),
        }
    }

    fn changed(&mut self, event: &'a Event) -> Result<Frame, StoreError> {
        let id = event.entity_id();
        let entity = self.advance(event)?;
        let body = to_json(&D::bake(&entity)).map_err(StoreError::corrupt)?;
        let outcome = Outcome::Changed {
            change: event.change.as_deref().unwrap_or("changed"),
            document: &body,
        };
        let frame = render(D::NAME, event, D::group(&entity.state), &outcome);
        let created = self
            .documents
            .get(id)
            .is_some_and(|earlier| earlier.created);
        let document = DocumentWrite {
            id: id.to_owned(),
            number: entity.number,
            position: entity.position,
            created: created || entity.version == 1,
            listed: D::listed(&entity.state),
            body,
        };
        self.documents.insert(id, document);
        self.entities.insert(id, entity);
        frame.map_err(StoreError::corrupt)
    }

    fn rejected(&self, event: &Event) -> Result<Frame, StoreError> {
        let reason = event.reason.as_deref().unwrap_or_default();
        let entity = self.entities.get(event.entity_id());
        let group = entity.and_then(|entity| D::group(&entity.state));
        render(D::NAME, event, group, &Outcome::Rejected(reason)).map_err(StoreError::corrupt)
    }

    /// The entity just after the event.
    fn advance(&mut self, event: &'a Event) -> Result<Entity<D::State>, StoreError> {
        let id = event.entity_id();
        let record = self.records.get(id).ok_or_else(|| missing::<D>(event))?;
        let run = &self.runs[id];
        if is_latest(record, run) {
            return read_state::<D>(record.clone());
        }
        let mut entity = match self.entities.remove(id) {
            Some(entity) => Some(entity),
            None if is_whole_life(record, run) => None,
            None => self.before_the_run(record)?,
        };
        fold::<D>(&mut entity, event, record.number)?;
        entity.ok_or_else(|| missing::<D>(event))
    }

    /// The entity as it was when the last run had been baked.
    fn before_the_run(
        &self,
        record: &EntityRecord,
    ) -> Result<Option<Entity<D::State>>, StoreError> {
        let mut entity = None;
        for event in self.histories.get(&record.id).into_iter().flatten() {
            if event.position <= self.from && event.status == EventStatus::Executed {
                fold::<D>(&mut entity, event, record.number)?;
            }
        }
        Ok(entity)
    }
}

fn fold<D: Domain>(
    entity: &mut Option<Entity<D::State>>,
    event: &Event,
    number: u64,
) -> Result<(), StoreError> {
    replay::<D>(entity, event, number)?.map_err(StoreError::corrupt)?;
    Ok(())
}

fn missing<D: Domain>(event: &Event) -> StoreError {
    StoreError::Corrupt(format!(
        "position {} was executed, but {} {} does not exist",
        event.position,
        D::NAME,
        event.entity_id()
    ))
}
