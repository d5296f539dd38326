//! Page by page through the log.

use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::numbers::Numbers;
use super::{Audit, AuditDoors, Finding};
use crate::bake::{History, Trust, bake};
use crate::event::{by_entity, entity_ids};
use crate::ports::{Baking, Checkpoint, Head, StoreError};
use crate::{Domain, EntityRecord, Event, Position, Timestamp};

/// Reads that are under way together.
pub(super) const AT_ONCE: usize = 16;
/// Findings that are told in words; all are counted.
const TOLD: usize = 100;
/// A store that has just changed its leader may answer from a moment ago.
const LOOKS: usize = 4;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

pub(super) struct Auditor<D> {
    pub(super) doors: AuditDoors,
    pub(super) audit: Audit,
    pub(super) numbers: Numbers,
    checkpoint: Checkpoint,
    /// When the last event was stored.
    last: Option<Timestamp>,
    identities: HashSet<u128>,
    /// What changed meanwhile, and up to where.
    moving: HashSet<String>,
    latest: Position,
    domain: PhantomData<fn() -> D>,
}

/// How far each stage is.
struct Heads {
    stored: Position,
    checkpoint: Checkpoint,
    baked: Option<Head>,
}

impl Heads {
    /// From the last stage to the first: none can be ahead of the one before it.
    async fn look(doors: &AuditDoors) -> Result<Self, StoreError> {
        let baked = match doors.presentation.head().await {
            Ok(head) => Some(head),
            Err(StoreError::NotYet(_)) => None,
            Err(error) => return Err(error),
        };
        let checkpoint = doors.source.checkpoint().await?;
        let stored = doors.log.head().await?;
        Ok(Self {
            stored,
            checkpoint,
            baked,
        })
    }

    fn baked(&self) -> Position {
        self.baked.as_ref().map_or(0, |head| head.position)
    }

    /// There must be a presentation as soon as there is anything that it could show.
    fn is_missing(&self) -> bool {
        self.baked.is_none() && self.checkpoint.position > 0
    }

    fn is_in_order(&self) -> bool {
        !self.is_missing()
            && self.baked() <= self.checkpoint.position
            && self.checkpoint.position <= self.stored
    }
}

impl<D: Domain> Auditor<D> {
    pub(super) async fn begin(doors: AuditDoors) -> Result<Self, StoreError> {
        let mut heads = Heads::look(&doors).await?;
        for _ in 1..LOOKS {
            if heads.is_in_order() {
                break;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
            heads = Heads::look(&doors).await?;
        }
        let epoch = doors.log.epoch().await?;
        let mut auditor = Self {
            audit: Audit {
                stored: heads.stored,
                executed: heads.checkpoint.position,
                baked: heads.baked(),
                ..Audit::default()
            },
            doors,
            numbers: Numbers::default(),
            checkpoint: heads.checkpoint,
            last: None,
            identities: HashSet::new(),
            moving: HashSet::new(),
            latest: 0,
            domain: PhantomData,
        };
        let Audit {
            stored,
            executed,
            baked,
            ..
        } = auditor.audit;
        if executed > stored {
            let what = format!("executed up to {executed}, but the log ends at {stored}");
            auditor.find("P2", Some(stored), &what);
        }
        if baked > executed {
            let what = format!("baked up to {baked}, but executed only up to {executed}");
            auditor.find("P4", Some(executed), &what);
        }
        if heads.is_missing() {
            let what = format!("executed up to {executed}, but there is no presentation at all");
            auditor.find("P4", None, &what);
        }
        if heads.baked.is_some_and(|head| head.epoch != epoch) {
            auditor.find("P5", None, "the presentation belongs to another log");
        }
        Ok(auditor)
    }

    pub(super) fn find(&mut self, promise: &'static str, position: Option<Position>, what: &str) {
        self.find_of(promise, position, None, what);
    }

    pub(super) fn find_of(
        &mut self,
        promise: &'static str,
        position: Option<Position>,
        entity: Option<&str>,
        what: &str,
    ) {
        self.audit.faults += 1;
        if self.audit.findings.len() < TOLD {
            self.audit.findings.push(Finding {
                promise,
                position,
                entity: entity.map(str::to_owned),
                what: what.to_owned(),
            });
        }
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
    ) -> Result<(Vec<Event>, Position), StoreError> {
        let left = usize::try_from(end - from).unwrap_or(most);
        let events = self.doors.log.read(from, most.min(left)).await?;
        if events.is_empty() {
            let what = format!("the log ends here, but should reach {end}");
            self.find("P2", Some(from), &what);
        }
        for event in &events {
            self.audit.events += 1;
            let position = Some(event.position);
            if self.last.is_some_and(|last| event.creation_time < last) {
                self.find("P2", position, "it was stored before the event before it");
            }
            self.last = Some(event.creation_time);
            if !self
                .identities
                .insert(event.operation.operation_id.as_u128())
            {
                self.find("P6", position, "its operation is in the log twice");
            }
        }
        let to = events.last().map_or(end, |event| event.position);
        Ok((events, to))
    }

    /// The source's; one that cannot be read is as good as none, and told.
    async fn records(
        &mut self,
        events: &[Event],
    ) -> Result<HashMap<String, EntityRecord>, StoreError> {
        let ids = entity_ids(events);
        match self.doors.source.load(&ids).await {
            Err(StoreError::Corrupt(_)) => {}
            loaded => return loaded,
        }
        let mut records = HashMap::new();
        for id in ids {
            match self.doors.source.load(&[id]).await {
                Ok(found) => records.extend(found),
                Err(StoreError::Corrupt(what)) => self.find_of("P3", None, Some(id), &what),
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }

    /// All that ever happened to these entities, up to the end of the page.
    async fn histories(
        &self,
        events: &[Event],
        records: &HashMap<String, EntityRecord>,
        to: Position,
    ) -> Result<HashMap<String, History>, StoreError> {
        let read = async |(id, run): (&str, Vec<&Event>)| {
            let events = match is_whole(records.get(id), &run) {
                true => run.into_iter().cloned().collect(),
                false => self.doors.log.history(id, 0, to).await?,
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
        events: &[Event],
        records: &HashMap<String, EntityRecord>,
        histories: &HashMap<String, History>,
    ) -> Result<Baking, StoreError> {
        let oven = |events: &[Event]| bake::<D>(from, events, records, histories, Trust::Log);
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
            let run: Vec<Event> = run.into_iter().cloned().collect();
            match oven(&run) {
                Ok(one) => {
                    all.documents.extend(one.documents);
                    all.frames.extend(one.frames);
                }
                Err(StoreError::Corrupt(what)) => {
                    self.find_of("P3", Some(run[0].position), Some(id), &what);
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
        let now = self.doors.source.checkpoint().await?;
        let (latest, executed) = (self.latest, now.position);
        if latest > executed {
            let what = format!("something is at {latest}, but executed only up to {executed}");
            self.find("P3", Some(latest), &what);
        }
        let Checkpoint {
            position,
            entities,
            parked,
            ..
        } = self.checkpoint;
        if !self.numbers.may_be(entities) {
            let what = format!("{entities} numbers are given, which the log does not say");
            self.find("P3", None, &what);
        }
        // A remedy settles meanwhile what was parked at the beginning.
        let seen = self.audit.parked;
        if parked < seen || (parked > seen && executed == position) {
            let what = format!("{seen} are parked, the checkpoint says {parked}");
            self.find("P9", None, &what);
        }
        Ok(())
    }
}

/// Nothing has happened to it but what is in the run, as far as the source says: should
/// that be wrong, the comparison shows.
fn is_whole(record: Option<&EntityRecord>, run: &[&Event]) -> bool {
    let is_plain = |event: &&Event| !event.was_parked() && !event.operation.operation.is_remedy();
    let changes = run.iter().filter(|event| event.is_executed_in_place());
    let version = record.map_or(0, |record| record.version);
    run.iter().all(is_plain) && changes.count() as u64 == version
}
