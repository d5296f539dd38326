//! Baking of a batch of executed log entries. Pure, so that a repetition gives the same result.
//!
//! Every position gets a frame with the document *as of that position*. The source state holds only
//! the latest state of an entity. If that is already past a position, the entity's own entries are
//! folded again up to the position.

use std::collections::HashMap;

use crate::model::frame::{Audience, Outcome, ResolvedOperation, render};
use crate::model::log_entry::by_entity;
use crate::ports::{Baking, DocumentWrite, StoreError};
use crate::stages::execute::read_state;
use crate::stages::step::{self, ExecutionContext, execute_entry};
use crate::{Domain, Entity, EntityRecord, EntryStatus, Frame, Json, LogEntry, Position, to_json};

/// Returns the entities whose history [`bake`] needs: their state at some position of the batch
/// follows neither from the source state nor from the batch alone.
#[must_use]
pub fn needs_history<D: Domain>(
    entries: &[LogEntry],
    records: &HashMap<String, EntityRecord>,
) -> Vec<String> {
    let mut ids: Vec<String> = by_entity(entries)
        .into_iter()
        .filter(|(id, run)| {
            let record = records.get(*id);
            let has_resolution = run.iter().any(|entry| is_effective_resolution(entry));
            let moves = run.iter().any(|entry| may_change_group::<D>(entry));
            has_resolution
                || record.is_some_and(|record| {
                    !covers_whole_life(record, run) && (moves || !is_record_sufficient(record, run))
                })
        })
        .map(|(id, _)| id.to_owned())
        .collect();
    ids.sort_unstable();
    ids
}

/// Source from which an entity's state is taken if both are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The source state, which is already loaded.
    State,
    /// The log, from the entity's first entry on. Used when a stored state cannot be read, so that
    /// it does not block the others. Requires the history of every entity.
    Log,
}

/// History of an entity, as far back as it is needed.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Snapshot of the entity before the batch; `None` starts before its first entry.
    pub base: Option<EntityRecord>,
    /// Entries of the entity after the snapshot, in order, preceded by the older ones that have
    /// ever been parked.
    pub entries: Vec<LogEntry>,
}

/// Bakes `entries`, which all have a verdict and follow `from` without a gap.
///
/// `records` holds the source state of every existing entity that they concern, at least as new as
/// the last entry. `histories` holds the histories that [`needs_history`] requires, or all of them.
///
/// # Errors
/// [`StoreError::Corrupt`] when log and source state contradict each other, or when a trusted state
/// cannot be read.
pub fn bake<D: Domain>(
    from: Position,
    entries: &[LogEntry],
    records: &HashMap<String, EntityRecord>,
    histories: &HashMap<String, History>,
    trust: Trust,
) -> Result<Baking, StoreError> {
    let runs = by_entity(entries);
    let mut state = BakeState::<D> {
        from,
        trust,
        runs,
        records,
        histories,
        entities: HashMap::new(),
        documents: HashMap::new(),
    };
    let mut frames = Vec::with_capacity(entries.len());
    for entry in entries {
        frames.push(state.frame(entry)?);
    }
    let mut documents: Vec<_> = state.documents.into_values().collect();
    documents.sort_unstable_by_key(|document| document.position);
    Ok(Baking {
        from,
        to: entries.last().map_or(from, |entry| entry.position),
        documents,
        frames,
    })
}

fn is_executed(entry: &LogEntry) -> bool {
    entry.is_executed_in_place()
}

fn may_change_group<D: Domain>(entry: &LogEntry) -> bool {
    let change = entry.change.as_deref();
    is_executed(entry) && change.is_some_and(D::may_change_group)
}

/// Checks whether an entry is a resolution that took effect. It resolved entries of the history.
fn is_effective_resolution(entry: &LogEntry) -> bool {
    entry.operation.operation.is_resolution() && is_executed(entry)
}

/// Checks whether the batch needs the source state alone: no entry of the batch changed the entity,
/// or only the first one did and nothing has changed it since.
fn is_record_sufficient(record: &EntityRecord, run: &[&LogEntry]) -> bool {
    if run.iter().any(|entry| is_effective_resolution(entry)) {
        return false;
    }
    let changes = run.iter().filter(|entry| is_executed(entry)).count();
    match changes {
        0 => record.position < run[0].position,
        1 => is_executed(run[0]) && run[0].position == record.position,
        _ => false,
    }
}

/// Checks whether the batch contains every change of the entity.
fn covers_whole_life(record: &EntityRecord, run: &[&LogEntry]) -> bool {
    !run.iter().any(|entry| is_effective_resolution(entry))
        && record.version == run.iter().filter(|entry| is_executed(entry)).count() as u64
}

struct BakeState<'a, D: Domain> {
    from: Position,
    trust: Trust,
    runs: HashMap<&'a str, Vec<&'a LogEntry>>,
    records: &'a HashMap<String, EntityRecord>,
    histories: &'a HashMap<String, History>,
    /// Entities as of the current entry; `None` before their creation.
    entities: HashMap<&'a str, Option<Entity<D::State>>>,
    documents: HashMap<&'a str, DocumentWrite>,
}

impl<'a, D: Domain> BakeState<'a, D> {
    fn frame(&mut self, entry: &'a LogEntry) -> Result<Frame, StoreError> {
        if let Some(reason) = &entry.parked {
            return self.parked_frame(entry, reason);
        }
        match entry.status {
            EntryStatus::Executed if is_effective_resolution(entry) => self.resolved_frame(entry),
            EntryStatus::Executed => self.changed_frame(entry),
            EntryStatus::Rejected => self.rejected_frame(entry),
            EntryStatus::Stored | EntryStatus::Parked => Err(StoreError::Corrupt(format!(
                "position {}: no verdict, although it is before the checkpoint",
                entry.position
            ))),
        }
    }

    fn changed_frame(&mut self, entry: &'a LogEntry) -> Result<Frame, StoreError> {
        let previous = self.previous_group(entry)?;
        let entity = self.advance(entry)?;
        let body = to_json(&D::bake(&entity)).map_err(StoreError::corrupt)?;
        let outcome = Outcome::Changed {
            change: entry.change.as_deref().unwrap_or("changed"),
            document: &body,
        };
        let audience = audience::<D>(&entity).with_previous_group(previous.as_deref());
        let frame = render(D::NAME, entry, audience, &outcome);
        let is_new = entity.version == 1;
        self.store(entry, entity, body, is_new);
        frame.map_err(StoreError::corrupt)
    }

    /// Returns the entity's group before an entry that may change it.
    fn previous_group(&mut self, entry: &'a LogEntry) -> Result<Option<String>, StoreError> {
        let id = entry.entity_id();
        let Some(record) = self.records.get(id) else {
            return Ok(None);
        };
        if !may_change_group::<D>(entry) {
            return Ok(None);
        }
        // The source state is the one after the entry, so the state before it must be folded.
        if !self.entities.contains_key(id) {
            let run = &self.runs[id];
            let before = match covers_whole_life(record, run) {
                true => None,
                false => self.before_batch(record)?,
            };
            self.entities.insert(id, before);
        }
        let before = self.entities.get(id).and_then(Option::as_ref);
        let group = before.and_then(|before| D::group(&before.state));
        Ok(group.map(str::to_owned))
    }

    /// Keeps the current entity, and its document for the commit.
    fn store(&mut self, entry: &'a LogEntry, entity: Entity<D::State>, body: Json, is_new: bool) {
        let id = entry.entity_id();
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

    /// Renders the frame of a parked entry: only the reason. The entity is not read, because its
    /// state may be the cause.
    fn parked_frame(&self, entry: &LogEntry, reason: &str) -> Result<Frame, StoreError> {
        let sender = entry.operation.terms.owner.as_deref();
        let record = self.records.get(entry.entity_id());
        let audience = Audience {
            owner: sender.or(record.and_then(|record| record.owner.as_deref())),
            ..Audience::default()
        };
        render(D::NAME, entry, audience, &Outcome::Parked(reason)).map_err(StoreError::corrupt)
    }

    /// Renders the frame of a resolution, which may have changed the entity several times, once or
    /// not at all.
    fn resolved_frame(&mut self, entry: &'a LogEntry) -> Result<Frame, StoreError> {
        let id = entry.entity_id();
        let history = self.history(id);
        let number = self.records.get(id).map_or(0, |record| record.number);
        let mut entity = self.before(id)?;
        let before = entity.as_ref().map(|entity| entity.version);
        let previous = entity.as_ref().and_then(|entity| D::group(&entity.state));
        let previous = previous.map(str::to_owned);
        fold_entry::<D>(&mut entity, entry, history, number)?;
        let changed = entity
            .as_ref()
            .filter(|entity| before != Some(entity.version));
        let body = changed.map(|entity| to_json(&D::bake(entity))).transpose();
        let body = body.map_err(StoreError::corrupt)?;
        let mut senders = resolved_by(entry, history).map(|entry| &entry.operation.terms);
        let audience = changed.map_or_else(
            || Audience {
                owner: senders.find_map(|terms| terms.owner.as_deref()),
                ..Audience::default()
            },
            |entity| audience::<D>(entity).with_previous_group(previous.as_deref()),
        );
        // The owner does not see operations that other senders requested for the entity.
        let is_visible = |resolved: &&LogEntry| {
            let sender = resolved.operation.terms.owner.as_deref();
            sender.is_none() || audience.owner.is_none() || sender == audience.owner
        };
        let resolved = resolved_by(entry, history).filter(is_visible);
        let resolved: Vec<_> = resolved.map(ResolvedOperation::of).collect();
        let outcome = Outcome::Resolved {
            change: entry.change.as_deref().unwrap_or("changed"),
            document: body.as_ref(),
            resolved: &resolved,
        };
        let frame = render(D::NAME, entry, audience, &outcome);
        match (entity, body) {
            (Some(entity), Some(body)) => self.store(entry, entity, body, before.is_none()),
            (entity, _) => drop(self.entities.insert(id, entity)),
        }
        frame.map_err(StoreError::corrupt)
    }

    fn history(&self, id: &str) -> &'a [LogEntry] {
        self.histories
            .get(id)
            .map_or(&[], |history| history.entries.as_slice())
    }

    /// Renders the frame of a rejection. Its owner is the sender, not the owner of the entity.
    fn rejected_frame(&mut self, entry: &'a LogEntry) -> Result<Frame, StoreError> {
        let id = entry.entity_id();
        let entity = self.before(id)?;
        let sender = entry.operation.terms.owner.as_deref();
        let audience = Audience {
            owner: sender.or(entity.as_ref().and_then(|entity| entity.owner.as_deref())),
            group: entity.as_ref().and_then(|entity| D::group(&entity.state)),
            left_group: None,
        };
        let frame = render(
            D::NAME,
            entry,
            audience,
            &Outcome::Rejected(&entry.rejection()),
        );
        self.entities.insert(id, entity);
        frame.map_err(StoreError::corrupt)
    }

    /// Returns the entity just after an entry.
    fn advance(&mut self, entry: &'a LogEntry) -> Result<Entity<D::State>, StoreError> {
        let id = entry.entity_id();
        let record = self.records.get(id).ok_or_else(|| missing::<D>(entry))?;
        if self.trust == Trust::State && is_record_sufficient(record, &self.runs[id]) {
            return read_state::<D>(record.clone());
        }
        let mut entity = self.before(id)?;
        fold_entry::<D>(&mut entity, entry, &[], record.number)?;
        entity.ok_or_else(|| missing::<D>(entry))
    }

    /// Returns the entity just before the current entry.
    fn before(&mut self, id: &str) -> Result<Option<Entity<D::State>>, StoreError> {
        if let Some(entity) = self.entities.remove(id) {
            return Ok(entity);
        }
        let Some(record) = self.records.get(id) else {
            return Ok(None);
        };
        let run = &self.runs[id];
        if covers_whole_life(record, run) {
            return Ok(None);
        }
        if self.trust == Trust::State && is_record_sufficient(record, run) {
            return read_state::<D>(record.clone()).map(Some);
        }
        self.before_batch(record)
    }

    /// Returns the entity as it was before the batch.
    fn before_batch(&self, record: &EntityRecord) -> Result<Option<Entity<D::State>>, StoreError> {
        let history = self.history(&record.id);
        let known = history.partition_point(|entry| entry.position <= self.from);
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
    /// Adds the previous group of the entity, if it is another one.
    fn with_previous_group(self, previous: Option<&'a str>) -> Self {
        let left_group = previous.filter(|previous| self.group != Some(previous));
        Self { left_group, ..self }
    }
}

/// Returns the document of an entity after the last of `entries`, which must be all of its entries
/// from the first one on. `None`: none of them created the entity.
///
/// # Errors
/// [`StoreError::Corrupt`] when the log contradicts itself.
pub fn as_of<D: Domain>(entries: &[LogEntry], number: u64) -> Result<Option<Json>, StoreError> {
    let entity = entity_after::<D>(entries, number)?;
    let document = entity.map(|entity| to_json(&D::bake(&entity)));
    document.transpose().map_err(StoreError::corrupt)
}

/// Fold of an entity over its executed entries, page by page in bounded memory.
pub struct Fold<D: Domain> {
    entity: Option<Entity<D::State>>,
    number: u64,
    position: Position,
}

impl<D: Domain> Fold<D> {
    /// Starts with a snapshot, or before the entity's first entry.
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

    /// Returns the position up to which entries have been added.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Checks whether a page resolves parked entries, so that [`Fold::extend`] needs them.
    #[must_use]
    pub fn needs_parked(page: &[LogEntry]) -> bool {
        page.iter().any(is_effective_resolution)
    }

    /// Adds the entity's next executed entries. `parked` holds all of its entries that have ever
    /// been parked; it may be empty unless [`Fold::needs_parked`] returns `true`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the log contradicts itself.
    pub fn extend(&mut self, page: &[LogEntry], parked: &[LogEntry]) -> Result<(), StoreError> {
        for entry in page.iter().filter(|entry| entry.position > self.position) {
            if is_executed(entry) {
                fold_entry::<D>(&mut self.entity, entry, parked, self.number)?;
            }
        }
        self.position = page
            .last()
            .map_or(self.position, |last| last.position.max(self.position));
        Ok(())
    }

    /// Returns the document of the folded entity; `None`: it has not been created.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the document has no JSON form.
    pub fn document(&self) -> Result<Option<Json>, StoreError> {
        let document = self.entity.as_ref().map(|entity| to_json(&D::bake(entity)));
        document.transpose().map_err(StoreError::corrupt)
    }
}

/// Returns the entity after the last of `entries`; see [`as_of`].
pub(crate) fn entity_after<D: Domain>(
    entries: &[LogEntry],
    number: u64,
) -> Result<Option<Entity<D::State>>, StoreError> {
    fold_from::<D>(None, entries, number)
}

/// Returns the entity after the last of `entries`, starting with a snapshot.
fn fold_from<D: Domain>(
    base: Option<EntityRecord>,
    entries: &[LogEntry],
    number: u64,
) -> Result<Option<Entity<D::State>>, StoreError> {
    let folded = base.as_ref().map_or(0, |base| base.position);
    let mut entity = base.map(read_state::<D>).transpose()?;
    let is_next = |entry: &&LogEntry| entry.position > folded && is_executed(entry);
    for entry in entries.iter().filter(is_next) {
        fold_entry::<D>(&mut entity, entry, entries, number)?;
    }
    Ok(entity)
}

/// Applies an executed entry to an entity. A resolution applies the entries that it resolved.
fn fold_entry<D: Domain>(
    entity: &mut Option<Entity<D::State>>,
    entry: &LogEntry,
    history: &[LogEntry],
    number: u64,
) -> Result<(), StoreError> {
    let context = ExecutionContext {
        moment: entry.moment(),
        number,
    };
    if !is_effective_resolution(entry) {
        return expect_executed(execute_entry::<D>(entity, entry, context)?);
    }
    let executed = |resolved: &&LogEntry| resolved.status == EntryStatus::Executed;
    for resolved in resolved_by(entry, history).filter(executed) {
        expect_executed(execute_entry::<D>(entity, resolved, context)?)?;
    }
    Ok(())
}

/// Returns the entries of an entity's history that a resolution resolved.
fn resolved_by<'a>(
    resolution: &LogEntry,
    history: &'a [LogEntry],
) -> impl Iterator<Item = &'a LogEntry> {
    let by = Some(resolution.position);
    history.iter().filter(move |entry| entry.resolved_by == by)
}

/// Returns an error unless the outcome is an execution.
fn expect_executed(outcome: step::Outcome) -> Result<(), StoreError> {
    match outcome {
        step::Outcome::Executed(_) => Ok(()),
        step::Outcome::Rejected(rejection) => Err(StoreError::Corrupt(rejection.reason)),
        step::Outcome::Parked(reason) => Err(StoreError::Corrupt(reason)),
    }
}

fn missing<D: Domain>(entry: &LogEntry) -> StoreError {
    StoreError::Corrupt(format!(
        "position {}: executed, but {} {} does not exist",
        entry.position,
        D::NAME,
        entry.entity_id()
    ))
}
