//! Page by page through the log.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::marker::PhantomData;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::diff::Difference;
use super::heads::Heads;
use super::numbers::Numbers;
use super::report::Place;
use super::seen::Seen;
use super::{Audit, AuditDeps, AuditSettings, Code};
use crate::model::log_entry::{by_entity, entity_ids};
use crate::ports::{Baking, Checkpoint, StoreError};
use crate::stages::bake::{History, Trust, bake};
use crate::{Domain, EntityRecord, LogEntry, Position, Timestamp};

/// Reads that are under way together.
pub(super) const AT_ONCE: usize = 16;
/// A store that has just changed its leader may answer from a moment ago.
const LOOKS: usize = 4;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

pub(super) struct Auditor<D> {
    pub(super) deps: AuditDeps,
    pub(super) settings: AuditSettings,
    pub(super) audit: Audit,
    /// Identity of the log.
    pub(super) epoch: String,
    /// Findings of each kind that have been told.
    pub(super) told: BTreeMap<Code, usize>,
    pub(super) numbers: Numbers,
    checkpoint: Checkpoint,
    /// When the last event was stored.
    last: Option<Timestamp>,
    identities: Seen,
    /// What changed meanwhile, and up to where.
    moving: HashSet<String>,
    latest: Position,
    domain: PhantomData<fn() -> D>,
}

impl<D: Domain> Auditor<D> {
    pub(super) async fn begin(
        deps: AuditDeps,
        settings: AuditSettings,
        audit: Audit,
    ) -> Result<Self, StoreError> {
        let mut heads = Heads::read(&deps).await?;
        for _ in 1..LOOKS {
            if heads.is_in_order() {
                break;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
            heads = Heads::read(&deps).await?;
        }
        let epoch = deps.log.epoch().await?;
        let mut auditor = Self {
            audit: Audit {
                stored: heads.stored,
                executed: heads.checkpoint.position,
                baked: heads.baked(),
                ..audit
            },
            deps,
            settings,
            epoch,
            told: BTreeMap::new(),
            numbers: Numbers::default(),
            checkpoint: heads.checkpoint,
            last: None,
            identities: Seen::for_about(heads.stored),
            moving: HashSet::new(),
            latest: 0,
            domain: PhantomData,
        };
        auditor.check_heads(&heads);
        Ok(auditor)
    }

    /// Not to be judged: it is at a position that was not there at the beginning.
    pub(super) fn moves(&mut self, id: &str, position: Position) {
        self.latest = self.latest.max(position);
        if self.moving.insert(id.to_owned()) {
            self.audit.moving += 1;
        }
    }

    /// One page of what is executed, which ends before or at `end`: says where.
    pub(super) async fn page(
        &mut self,
        from: Position,
        most: usize,
        end: Position,
    ) -> Result<Position, StoreError> {
        let (events, to) = self.events(from, most, end).await?;
        if events.is_empty() {
            return Ok(to);
        }
        for event in &events {
            self.compare_verdict(event);
        }
        for (at, field) in self.deps.source_inspector.redundant(from, to).await? {
            let what = format!("field {field} does not agree with the fields that it repeats");
            self.find(Code::WrongEvent, Place::at(at), &what);
        }
        let records = self.records(&events).await?;
        let histories = self.histories(&events, &records, to).await?;
        let baking = self.bake(from, &events, &records, &histories)?;
        self.compare_numbers(&events, &baking, &histories);
        self.compare_frames(&baking).await?;
        let mut settled = Vec::new();
        for (id, record) in &records {
            if record.position > self.audit.executed {
                self.moves(id, record.position);
            } else if record.position > from && record.position <= to {
                settled.extend(self.compare_entity(id, record, &histories[id].events)?);
            }
        }
        self.compare_ages(from, &events, &records, &histories);
        self.compare_blobs(&settled).await?;
        self.compare_documents(settled).await?;
        Ok(to)
    }

    /// One page of what is not executed yet.
    pub(super) async fn tail(
        &mut self,
        from: Position,
        most: usize,
        end: Position,
    ) -> Result<Position, StoreError> {
        Ok(self.events(from, most, end).await?.1)
    }

    /// Events in their places, and up to where: all that were expected if there are none.
    async fn events(
        &mut self,
        from: Position,
        most: usize,
        end: Position,
    ) -> Result<(Vec<LogEntry>, Position), StoreError> {
        let left = usize::try_from(end - from).unwrap_or(most);
        let events = self.deps.log.read(from, most.min(left)).await?;
        if events.is_empty() {
            let what = format!("the log ends here, but should reach {end}");
            self.find(Code::LogGap, Place::at(from), &what);
        }
        for event in &events {
            self.audit.events += 1;
            let place = Place::of(event);
            if let Some(last) = self.last.filter(|last| event.creation_time < *last) {
                let differs = Difference {
                    field: "creation_time".into(),
                    expected: format!("at least {last}").into(),
                    found: event.creation_time.to_string().into(),
                };
                self.find_in(Code::WrongEvent, place, differs, None);
            }
            self.last = Some(event.creation_time);
            let operation = event.operation.operation_id;
            if self.identities.add(operation) {
                let other = self.deps.log.find(operation).await?;
                let other = other.filter(|other| other.position != event.position);
                if let Some(other) = other {
                    let what = format!("its operation is also at {}", other.position);
                    self.find(Code::DuplicateOperation, place, &what);
                }
            }
        }
        let to = events.last().map_or(end, |event| event.position);
        Ok((events, to))
    }

    /// The source's; one that cannot be read is as good as none, and told.
    async fn records(
        &mut self,
        events: &[LogEntry],
    ) -> Result<HashMap<String, EntityRecord>, StoreError> {
        let ids = entity_ids(events);
        match self.deps.source.load(&ids).await {
            Err(StoreError::Corrupt(_)) => {}
            loaded => return loaded,
        }
        let mut records = HashMap::new();
        for id in ids {
            match self.deps.source.load(&[id]).await {
                Ok(found) => records.extend(found),
                Err(StoreError::Corrupt(what)) => {
                    self.find(Code::WrongState, Place::of_entity(id), &what);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }

    /// All that ever happened to these entities, up to the end of the page.
    async fn histories(
        &self,
        events: &[LogEntry],
        records: &HashMap<String, EntityRecord>,
        to: Position,
    ) -> Result<HashMap<String, History>, StoreError> {
        let read = async |(id, run): (&str, Vec<&LogEntry>)| {
            let events = match is_whole(records.get(id), &run) {
                true => run.into_iter().cloned().collect(),
                false => self.deps.log.history(id, 0, to).await?,
            };
            Ok((id.to_owned(), History { base: None, events }))
        };
        let reading = stream::iter(by_entity(events)).map(read);
        let all: Vec<_> = reading.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(all.into_iter().collect())
    }

    /// What the page must have led to. Where one entity contradicts itself, each is baked
    /// alone: the others are none the worse.
    fn bake(
        &mut self,
        from: Position,
        events: &[LogEntry],
        records: &HashMap<String, EntityRecord>,
        histories: &HashMap<String, History>,
    ) -> Result<Baking, StoreError> {
        let oven = |events: &[LogEntry]| bake::<D>(from, events, records, histories, Trust::Log);
        match oven(events) {
            Err(StoreError::Corrupt(_)) => {}
            baked => return baked,
        }
        let mut all = Baking {
            from,
            to: events.last().map_or(from, |event| event.position),
            documents: Vec::new(),
            frames: Vec::new(),
        };
        for (id, run) in by_entity(events) {
            let run: Vec<LogEntry> = run.into_iter().cloned().collect();
            match oven(&run) {
                Ok(one) => {
                    all.documents.extend(one.documents);
                    all.frames.extend(one.frames);
                }
                Err(StoreError::Corrupt(what)) => {
                    let code = match records.contains_key(id) {
                        true => Code::WrongVerdict,
                        false => Code::MissingState,
                    };
                    self.find(code, Place::of(&run[0]), &what);
                    self.numbers.skip();
                }
                Err(error) => return Err(error),
            }
        }
        all.frames.sort_unstable_by_key(|frame| frame.position);
        Ok(all)
    }

    /// What can only be said once everything has been seen.
    pub(super) async fn end(&mut self) -> Result<(), StoreError> {
        let now = self.deps.source.checkpoint().await?;
        let (latest, executed) = (self.latest, now.position);
        if latest > executed {
            let what = format!("something is at {latest}, but executed only up to {executed}");
            self.find(Code::WrongCheckpoint, Place::at(latest), &what);
        }
        let Checkpoint {
            position,
            entities,
            parked,
            ..
        } = self.checkpoint;
        if !self.numbers.may_be(entities) {
            self.wrong_count("entities", self.numbers.counted(), entities);
        }
        // A remedy settles meanwhile what was parked at the beginning.
        let seen = self.audit.parked;
        if parked < seen || (parked > seen && executed == position) {
            self.wrong_count("parked", seen, parked);
        }
        Ok(())
    }

    fn wrong_count(&mut self, name: &str, expected: u64, found: u64) {
        let differs = Difference {
            field: format!("checkpoints.orders-manager.{name}"),
            expected: expected.into(),
            found: found.into(),
        };
        self.find_in(Code::WrongCheckpoint, Place::default(), differs, None);
    }
}

/// Nothing has happened to it but what is in the run, as far as the source says: should
/// that be wrong, the comparison shows.
fn is_whole(record: Option<&EntityRecord>, run: &[&LogEntry]) -> bool {
    let is_plain =
        |event: &&LogEntry| !event.was_parked() && !event.operation.operation.is_resolution();
    let changes = run.iter().filter(|event| event.is_executed_in_place());
    let version = record.map_or(0, |record| record.version);
    run.iter().all(is_plain) && changes.count() as u64 == version
}
