//! Baking a run of executed events: pure, so that doing it twice gives the same.
//!
//! Every position gets a frame with the document *as of that position*. The
//! source state holds only the latest: where it is already past a position, the
//! entity's own events are folded once more up to there.

use std::collections::HashMap;

use crate::model::frame::{Audience, Outcome, Settled, render};
use crate::model::log_entry::by_entity;
use crate::ports::{Baking, DocumentWrite, StoreError};
use crate::stages::execute::read_state;
use crate::stages::step::{self, ExecutionContext, replay};
use crate::{Domain, Entity, EntityRecord, EntryStatus, Frame, Json, LogEntry, Position, to_json};

/// Which entities' histories [`bake`] needs: those whose state at some position
/// of the run can be had neither from the source nor from the run itself.
#[must_use]
pub fn needs_history<D: Domain>(
    events: &[LogEntry],
    records: &HashMap<String, EntityRecord>,
) -> Vec<String> {
    let mut ids: Vec<String> = by_entity(events)
        .into_iter()
        .filter(|(id, run)| {
            let record = records.get(*id);
            let is_settled = run.iter().any(|event| is_settlement(event));
            let moves = run.iter().any(|event| may_change_group::<D>(event));
            is_settled
                || record.is_some_and(|record| {
                    !is_whole_life(record, run) && (moves || !is_enough(record, run))
                })
        })
        .map(|(id, _)| id.to_owned())
        .collect();
    ids.sort_unstable();
    ids
}

/// What an entity's state is taken from where both would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The source state, which is at hand.
    State,
    /// The log, from the entity's first event on: where a state cannot be read,
    /// which must not hold up the others. Takes the history of every entity.
    Log,
}

/// An entity's own past, as far back as it is needed.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The entity as it was at a position before the run; nothing before its first
    /// event.
    pub base: Option<EntityRecord>,
    /// Its events after that, in order; before them those that were parked and
    /// have been settled since.
    pub events: Vec<LogEntry>,
}

/// Bakes `events`, all with a verdict, which follow `from` without a gap.
///
/// `records` holds the source state of every entity that they concern and that
/// exists, at least as new as the last of them; `histories` what [`needs_history`]
/// asked for, or all of them.
///
/// # Errors
/// [`StoreError::Corrupt`] when log and source state contradict each other, or a
/// state that is trusted cannot be read.
pub fn bake<D: Domain>(
    from: Position,
    events: &[LogEntry],
    records: &HashMap<String, EntityRecord>,
    histories: &HashMap<String, History>,
    trust: Trust,
) -> Result<Baking, StoreError> {
    let runs = by_entity(events);
    let mut oven = BakeState::<D> {
        from,
        trust,
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

fn is_executed(event: &LogEntry) -> bool {
    event.is_executed_in_place()
}

fn may_change_group<D: Domain>(event: &LogEntry) -> bool {
    let change = event.change.as_deref();
    is_executed(event) && change.is_some_and(D::may_change_group)
}

/// A remedy that took effect: it settled others, which are in the history.
fn is_settlement(event: &LogEntry) -> bool {
    event.operation.operation.is_resolution() && is_executed(event)
}

/// The source state is the only one that the run needs: nothing in it changed
/// the entity, or only its first event did, and nothing has since.
fn is_enough(record: &EntityRecord, run: &[&LogEntry]) -> bool {
    if run.iter().any(|event| is_settlement(event)) {
        return false;
    }
    let changes = run.iter().filter(|event| is_executed(event)).count();
    match changes {
        0 => record.position < run[0].position,
        1 => is_executed(run[0]) && run[0].position == record.position,
        _ => false,
    }
}

/// Everything that ever changed the entity is in the run.
fn is_whole_life(record: &EntityRecord, run: &[&LogEntry]) -> bool {
    !run.iter().any(|event| is_settlement(event))
        && record.version == run.iter().filter(|event| is_executed(event)).count() as u64
}

struct BakeState<'a, D: Domain> {
    from: Position,
    trust: Trust,
    runs: HashMap<&'a str, Vec<&'a LogEntry>>,
    records: &'a HashMap<String, EntityRecord>,
    histories: &'a HashMap<String, History>,
    /// Entities as of the event at hand; none before one has come into being.
    entities: HashMap<&'a str, Option<Entity<D::State>>>,
    documents: HashMap<&'a str, DocumentWrite>,
}

impl<'a, D: Domain> BakeState<'a, D> {
    fn frame(&mut self, event: &'a LogEntry) -> Result<Frame, StoreError> {
        if let Some(reason) = &event.parked {
            return self.parked(event, reason);
        }
        match event.status {
            EntryStatus::Executed if is_settlement(event) => self.settled(event),
            EntryStatus::Executed => self.changed(event),
            EntryStatus::Rejected => self.rejected(event),
            EntryStatus::Stored | EntryStatus::Parked => Err(StoreError::Corrupt(format!(
                "position {} has no verdict although it lies before the checkpoint",
                event.position
            ))),
        }
    }

    fn changed(&mut self, event: &'a LogEntry) -> Result<Frame, StoreError> {
        let former = self.former_group(event)?;
        let entity = self.advance(event)?;
        let body = to_json(&D::bake(&entity)).map_err(StoreError::corrupt)?;
        let outcome = Outcome::Changed {
            change: event.change.as_deref().unwrap_or("changed"),
            document: &body,
        };
        let audience = audience::<D>(&entity).after(former.as_deref());
        let frame = render(D::NAME, event, audience, &outcome);
        let is_new = entity.version == 1;
        self.serve(event, entity, body, is_new);
        frame.map_err(StoreError::corrupt)
    }

    /// The entity's group before an event that may change it.
    fn former_group(&mut self, event: &'a LogEntry) -> Result<Option<String>, StoreError> {
        let id = event.entity_id();
        let Some(record) = self.records.get(id) else {
            return Ok(None);
        };
        if !may_change_group::<D>(event) {
            return Ok(None);
        }
        // The source state, which would be enough otherwise, is the one after the event.
        if !self.entities.contains_key(id) {
            let run = &self.runs[id];
            let before = match is_whole_life(record, run) {
                true => None,
                false => self.before_the_run(record)?,
            };
            self.entities.insert(id, before);
        }
        let before = self.entities.get(id).and_then(Option::as_ref);
        let group = before.and_then(|before| D::group(&before.state));
        Ok(group.map(str::to_owned))
    }

    /// The document as it is now.
    fn serve(&mut self, event: &'a LogEntry, entity: Entity<D::State>, body: Json, is_new: bool) {
        let id = event.entity_id();
        let created = self
            .documents
            .get(id)
            .is_some_and(|earlier| earlier.created);
        let document = DocumentWrite {
            id: id.to_owned(),
            number: entity.number,
            position: entity.position,
            created: created || is_new,
            version: entity.version,
            created_at: entity.created_at,
            owner: entity.owner.clone(),
            listed: D::listed(&entity.state),
            body,
        };
        self.documents.insert(id, document);
        self.entities.insert(id, Some(entity));
    }

    /// Only that it was set aside, and why. Nothing is read of its entity, which
    /// may be what is wrong.
    fn parked(&self, event: &LogEntry, reason: &str) -> Result<Frame, StoreError> {
        let sender = event.operation.terms.owner.as_deref();
        let record = self.records.get(event.entity_id());
        let audience = Audience {
            owner: sender.or(record.and_then(|record| record.owner.as_deref())),
            ..Audience::default()
        };
        render(D::NAME, event, audience, &Outcome::Parked(reason)).map_err(StoreError::corrupt)
    }

    /// What a remedy led to, which may have changed the entity several times,
    /// once, or not at all.
    fn settled(&mut self, event: &'a LogEntry) -> Result<Frame, StoreError> {
        let id = event.entity_id();
        let history = self.history(id);
        let number = self.records.get(id).map_or(0, |record| record.number);
        let mut entity = self.before(id)?;
        let before = entity.as_ref().map(|entity| entity.version);
        let former = entity.as_ref().and_then(|entity| D::group(&entity.state));
        let former = former.map(str::to_owned);
        fold::<D>(&mut entity, event, history, number)?;
        let changed = entity
            .as_ref()
            .filter(|entity| before != Some(entity.version));
        let body = changed.map(|entity| to_json(&D::bake(entity))).transpose();
        let body = body.map_err(StoreError::corrupt)?;
        let mut senders = settled_by(event, history).map(|event| &event.operation.terms);
        let audience = changed.map_or_else(
            || Audience {
                owner: senders.find_map(|terms| terms.owner.as_deref()),
                ..Audience::default()
            },
            |entity| audience::<D>(entity).after(former.as_deref()),
        );
        // What somebody else asked for who could not know whose it is, is not told the owner.
        let is_theirs = |settled: &&LogEntry| {
            let sender = settled.operation.terms.owner.as_deref();
            sender.is_none() || audience.owner.is_none() || sender == audience.owner
        };
        let settled = settled_by(event, history).filter(is_theirs);
        let settled: Vec<_> = settled.map(Settled::of).collect();
        let outcome = Outcome::Settled {
            change: event.change.as_deref().unwrap_or("changed"),
            document: body.as_ref(),
            settled: &settled,
        };
        let frame = render(D::NAME, event, audience, &outcome);
        match (entity, body) {
            (Some(entity), Some(body)) => self.serve(event, entity, body, before.is_none()),
            (entity, _) => drop(self.entities.insert(id, entity)),
        }
        frame.map_err(StoreError::corrupt)
    }

    fn history(&self, id: &str) -> &'a [LogEntry] {
        self.histories
            .get(id)
            .map_or(&[], |history| history.events.as_slice())
    }

    /// A refusal is its sender's to see, whoever owns the entity.
    fn rejected(&mut self, event: &'a LogEntry) -> Result<Frame, StoreError> {
        let id = event.entity_id();
        let entity = self.before(id)?;
        let sender = event.operation.terms.owner.as_deref();
        let audience = Audience {
            owner: sender.or(entity.as_ref().and_then(|entity| entity.owner.as_deref())),
            group: entity.as_ref().and_then(|entity| D::group(&entity.state)),
            left_group: None,
        };
        let frame = render(
            D::NAME,
            event,
            audience,
            &Outcome::Rejected(&event.rejection()),
        );
        self.entities.insert(id, entity);
        frame.map_err(StoreError::corrupt)
    }

    /// The entity just after the event.
    fn advance(&mut self, event: &'a LogEntry) -> Result<Entity<D::State>, StoreError> {
        let id = event.entity_id();
        let record = self.records.get(id).ok_or_else(|| missing::<D>(event))?;
        if self.trust == Trust::State && is_enough(record, &self.runs[id]) {
            return read_state::<D>(record.clone());
        }
        let mut entity = self.before(id)?;
        fold::<D>(&mut entity, event, &[], record.number)?;
        entity.ok_or_else(|| missing::<D>(event))
    }

    /// The entity just before the event at hand.
    fn before(&mut self, id: &str) -> Result<Option<Entity<D::State>>, StoreError> {
        if let Some(entity) = self.entities.remove(id) {
            return Ok(entity);
        }
        let Some(record) = self.records.get(id) else {
            return Ok(None);
        };
        let run = &self.runs[id];
        if is_whole_life(record, run) {
            return Ok(None);
        }
        if self.trust == Trust::State && is_enough(record, run) {
            return read_state::<D>(record.clone()).map(Some);
        }
        self.before_the_run(record)
    }

    /// The entity as it was when the last run had been baked.
    fn before_the_run(
        &self,
        record: &EntityRecord,
    ) -> Result<Option<Entity<D::State>>, StoreError> {
        let history = self.history(&record.id);
        let known = history.partition_point(|event| event.position <= self.from);
        let base = self.histories.get(&record.id);
        let base = base.and_then(|history| history.base.clone());
        fold_from::<D>(base, &history[..known], record.number)
    }
}

fn audience<D: Domain>(entity: &Entity<D::State>) -> Audience<'_> {
    Audience {
        owner: entity.owner.as_deref(),
        group: D::group(&entity.state),
        left_group: None,
    }
}

impl<'a> Audience<'a> {
    /// Adds the group that the entity was of before.
    fn after(self, former: Option<&'a str>) -> Self {
        let left_group = former.filter(|former| self.group != Some(former));
        Self { left_group, ..self }
    }
}

/// The document of an entity after the last of these events, which are all of
/// its own from the first one on. `None`: none of them has brought it into being.
///
/// # Errors
/// [`StoreError::Corrupt`] when the log contradicts itself.
pub fn as_of<D: Domain>(events: &[LogEntry], number: u64) -> Result<Option<Json>, StoreError> {
    let entity = entity_after::<D>(events, number)?;
    let document = entity.map(|entity| to_json(&D::bake(&entity)));
    document.transpose().map_err(StoreError::corrupt)
}

/// An entity folded page by page from its executed events, in bounded memory.
pub struct Fold<D: Domain> {
    entity: Option<Entity<D::State>>,
    number: u64,
    position: Position,
}

impl<D: Domain> Fold<D> {
    /// Begins with a snapshot, or before the entity's first event.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the snapshot cannot be read.
    pub fn new(base: Option<EntityRecord>, number: u64) -> Result<Self, StoreError> {
        let position = base.as_ref().map_or(0, |base| base.position);
        let entity = base.map(read_state::<D>).transpose()?;
        Ok(Self {
            entity,
            number,
            position,
        })
    }

    /// The position up to which the entity's events are in.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Tells whether a page settles what had been parked, so that [`Fold::extend`] needs that.
    #[must_use]
    pub fn needs_parked(page: &[LogEntry]) -> bool {
        page.iter().any(is_settlement)
    }

    /// Adds the entity's next executed events. `parked`: those of its events that have ever
    /// been parked, if [`Fold::needs_parked`] says so.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the log contradicts itself.
    pub fn extend(&mut self, page: &[LogEntry], parked: &[LogEntry]) -> Result<(), StoreError> {
        for event in page.iter().filter(|event| event.position > self.position) {
            if is_executed(event) {
                fold::<D>(&mut self.entity, event, parked, self.number)?;
            }
        }
        self.position = page
            .last()
            .map_or(self.position, |last| last.position.max(self.position));
        Ok(())
    }

    /// The document of the entity as folded; `None`: it has not come into being.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the document has no JSON form.
    pub fn document(&self) -> Result<Option<Json>, StoreError> {
        let document = self.entity.as_ref().map(|entity| to_json(&D::bake(entity)));
        document.transpose().map_err(StoreError::corrupt)
    }
}

/// The entity itself, likewise.
pub(crate) fn entity_after<D: Domain>(
    events: &[LogEntry],
    number: u64,
) -> Result<Option<Entity<D::State>>, StoreError> {
    fold_from::<D>(None, events, number)
}

/// The entity after the last of these events.
fn fold_from<D: Domain>(
    base: Option<EntityRecord>,
    events: &[LogEntry],
    number: u64,
) -> Result<Option<Entity<D::State>>, StoreError> {
    let done = base.as_ref().map_or(0, |base| base.position);
    let mut entity = base.map(read_state::<D>).transpose()?;
    let is_next = |event: &&LogEntry| event.position > done && is_executed(event);
    for event in events.iter().filter(is_next) {
        fold::<D>(&mut entity, event, events, number)?;
    }
    Ok(entity)
}

/// One executed event; for a remedy, those of `history` that it settled.
fn fold<D: Domain>(
    entity: &mut Option<Entity<D::State>>,
    event: &LogEntry,
    history: &[LogEntry],
    number: u64,
) -> Result<(), StoreError> {
    let context = ExecutionContext {
        moment: event.moment(),
        number,
    };
    if !is_settlement(event) {
        return done(replay::<D>(entity, event, context)?);
    }
    let executed = |settled: &&LogEntry| settled.status == EntryStatus::Executed;
    for settled in settled_by(event, history).filter(executed) {
        done(replay::<D>(entity, settled, context)?)?;
    }
    Ok(())
}

/// Those of an entity's events that a remedy settled.
fn settled_by<'a>(
    resolution: &LogEntry,
    history: &'a [LogEntry],
) -> impl Iterator<Item = &'a LogEntry> {
    let by = Some(resolution.position);
    history.iter().filter(move |event| event.settled_by == by)
}

fn done(outcome: step::Outcome) -> Result<(), StoreError> {
    match outcome {
        step::Outcome::Executed(_) => Ok(()),
        step::Outcome::Rejected(rejection) => Err(StoreError::Corrupt(rejection.reason)),
        step::Outcome::Stuck(reason) => Err(StoreError::Corrupt(reason)),
    }
}

fn missing<D: Domain>(event: &LogEntry) -> StoreError {
    StoreError::Corrupt(format!(
        "position {} was executed, but {} {} does not exist",
        event.position,
        D::NAME,
        event.entity_id()
    ))
}
