//! Auditing: whether what the stores hold is what the log says, read only, while
//! everything goes on.
//!
//! The log is read once, page by page. What each page must have led to is worked out from
//! the log alone ([`crate::bake`] with [`Trust::Log`]), and held against what there is:
//! verdicts, numbers and states in the source; documents and frames in the presentation.
//! An entity is looked at with the page of its latest change, so once; one that changes
//! meanwhile is counted, not judged.
//!
//! It takes memory for one page and the histories of its entities, and 16 bytes for each
//! event, to find identities that are there twice.

use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde_json::Value;

use crate::bake::{History, Trust, bake, entity_after};
use crate::event::entity_ids;
use crate::ports::{
    Baking, DocumentWrite, EventLog, PresentationReader, SourceStore, StoreError, StoredDocument,
};
use crate::{Domain, EntityRecord, Event, EventStatus, Json, Position, Timestamp, to_json};

/// Reads that are under way together.
const AT_ONCE: usize = 16;
/// Findings that are told in words; all are counted.
const TOLD: usize = 100;

/// What is audited.
#[derive(Clone)]
pub struct AuditDoors {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// What it led to.
    pub source: Arc<dyn SourceStore>,
    /// What is read.
    pub presentation: Arc<dyn PresentationReader>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Last position of the log.
    pub stored: Position,
    /// How far it is executed.
    pub executed: Position,
    /// How far it is baked.
    pub baked: Position,
    /// Events that were looked at.
    pub events: u64,
    /// Entities whose state was compared.
    pub entities: u64,
    /// Documents that were compared.
    pub documents: u64,
    /// Frames that were compared.
    pub frames: u64,
    /// Operations that are set aside.
    pub parked: u64,
    /// Entities that changed meanwhile, and were not compared.
    pub moving: u64,
    /// How much is not as it must be.
    pub faults: u64,
    /// The first of that, in words.
    pub findings: Vec<Finding>,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which promise is broken: `P2` and so on.
    pub promise: &'static str,
    /// Where in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Of what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// A sentence.
    pub what: String,
}

/// Audits everything that there is now; tells `progress` how far it has come, and how far
/// it will go.
///
/// # Errors
/// When a store does not answer. What is wrong with what it answers is a finding.
pub async fn audit<D: Domain>(
    doors: AuditDoors,
    page: usize,
    mut progress: impl FnMut(Position, Position),
) -> Result<Audit, StoreError> {
    // From the last stage to the first: none can be ahead of the one before it.
    let baked = match doors.presentation.head().await {
        Ok(head) => Some(head),
        Err(StoreError::Unavailable(_)) if doors.log.head().await? == 0 => None,
        Err(error) => return Err(error),
    };
    let checkpoint = doors.source.checkpoint().await?;
    let mut auditor = Auditor::<D> {
        audit: Audit {
            stored: doors.log.head().await?,
            executed: checkpoint.position,
            baked: baked.as_ref().map_or(0, |head| head.position),
            ..Audit::default()
        },
        doors,
        numbers: 0,
        last: None,
        identities: HashSet::new(),
        domain: PhantomData,
    };
    let epoch = auditor.doors.log.epoch().await?;
    if baked.is_some_and(|head| head.epoch != epoch) {
        auditor.find("P5", None, "the presentation belongs to another log");
    }
    let end = auditor.audit.executed;
    let mut from = 0;
    while from < end {
        match auditor.page(from, page, end).await {
            Ok(to) => from = to,
            Err(StoreError::Hole { expected, found }) => {
                let what = format!("position {expected} is missing; the next is {found}");
                auditor.find("P2", Some(expected), &what);
                return Ok(auditor.audit);
            }
            Err(error) => return Err(error),
        }
        progress(from, end);
    }
    auditor.compare_counts(checkpoint.entities, checkpoint.parked);
    Ok(auditor.audit)
}

struct Auditor<D> {
    doors: AuditDoors,
    audit: Audit,
    /// Numbers given so far.
    numbers: u64,
    /// When the last event was stored.
    last: Option<Timestamp>,
    identities: HashSet<u128>,
    domain: PhantomData<fn() -> D>,
}

impl<D: Domain> Auditor<D> {
    fn find(&mut self, promise: &'static str, position: Option<Position>, what: &str) {
        self.find_of(promise, position, None, what);
    }

    fn find_of(
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

    /// One page, which ends before or at `end`: says where.
    async fn page(
        &mut self,
        from: Position,
        most: usize,
        end: Position,
    ) -> Result<Position, StoreError> {
        let left = usize::try_from(end - from).unwrap_or(most);
        let events = self.doors.log.read(from, most.min(left)).await?;
        let Some(to) = events.last().map(|event| event.position) else {
            let what = format!("the log ends here, but is executed up to {end}");
            self.find("P2", Some(from), &what);
            return Ok(end);
        };
        for event in &events {
            self.compare_event(event);
        }
        let ids = entity_ids(&events);
        let records = self.doors.source.load(&ids).await?;
        let histories = self.histories(&events, &records, to).await?;
        match bake::<D>(from, &events, &records, &histories, Trust::Log) {
            Ok(baking) => {
                self.compare_numbers(&events, &baking, &histories);
                self.compare_frames(&baking).await?;
            }
            Err(StoreError::Corrupt(what)) => self.find("P3", Some(to), &what),
            Err(error) => return Err(error),
        }
        let mut settled = Vec::new();
        for (id, record) in &records {
            if record.position > self.audit.executed {
                self.audit.moving += 1;
            } else if record.position <= to {
                settled.extend(self.compare_entity(id, record, &histories[id].events)?);
            }
        }
        self.compare_documents(settled).await?;
        Ok(to)
    }

    /// All that ever happened to these entities, up to the end of the page.
    async fn histories(
        &self,
        events: &[Event],
        records: &HashMap<String, EntityRecord>,
        to: Position,
    ) -> Result<HashMap<String, History>, StoreError> {
        let mut runs: HashMap<&str, Vec<&Event>> = HashMap::new();
        for event in events {
            runs.entry(event.entity_id()).or_default().push(event);
        }
        let read = async |(id, run): (&str, Vec<&Event>)| {
            let events = match is_whole(records.get(id), &run) {
                true => run.into_iter().cloned().collect(),
                false => self.doors.log.history(id, 0, to).await?,
            };
            Ok((id.to_owned(), History { base: None, events }))
        };
        let all: Vec<_> = stream::iter(runs)
            .map(read)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(all.into_iter().collect())
    }

    fn compare_event(&mut self, event: &Event) {
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
        match event.status {
            EventStatus::Stored => {
                self.find(
                    "P3",
                    position,
                    "it has no verdict, but lies before the checkpoint",
                );
            }
            EventStatus::Parked => self.audit.parked += 1,
            EventStatus::Rejected if event.reason.is_none() => {
                self.find("P8", position, "it was refused without a reason");
            }
            EventStatus::Rejected | EventStatus::Executed => {}
        }
    }

    /// Numbers are given in the order in which entities come into being.
    fn compare_numbers(
        &mut self,
        events: &[Event],
        baking: &Baking,
        histories: &HashMap<String, History>,
    ) {
        let created = baking.documents.iter().filter(|document| document.created);
        let mut created: HashMap<&str, &DocumentWrite> = created
            .map(|document| (document.id.as_str(), document))
            .collect();
        for event in events {
            let id = event.entity_id();
            let has_settled = || {
                let others = histories.get(id).into_iter().flat_map(|one| &one.events);
                let mut settled = others.filter(|one| one.settled_by == Some(event.position));
                settled.any(|one| one.status == EventStatus::Executed)
            };
            let is_change = match event.operation.operation.is_remedy() {
                true => has_settled(),
                false => event.is_executed_in_place(),
            };
            if !is_change {
                continue;
            }
            if let Some(document) = created.remove(id) {
                self.numbers += 1;
                if document.number != self.numbers {
                    let what = format!("it is number {}, not {}", document.number, self.numbers);
                    self.find_of("P3", Some(event.position), Some(id), &what);
                    self.numbers = document.number;
                }
            }
        }
    }

    /// Those that are baked: byte for byte.
    async fn compare_frames(&mut self, baking: &Baking) -> Result<(), StoreError> {
        let baked = self.audit.baked;
        let mut expected = baking.frames.iter().filter(|frame| frame.position <= baked);
        let Some(first) = baking
            .frames
            .first()
            .filter(|frame| frame.position <= baked)
        else {
            return Ok(());
        };
        let from = first.position - 1;
        let limit = baking.frames.len();
        let found = match self.doors.presentation.frames(from, limit).await {
            Ok(found) => found,
            Err(StoreError::Hole { expected, .. }) => {
                self.find("P5", Some(expected), "the feed has no frame for it");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let mut found = found.iter();
        for expected in expected.by_ref() {
            let Some(frame) = found.next() else {
                self.find(
                    "P5",
                    Some(expected.position),
                    "the feed has no frame for it",
                );
                continue;
            };
            self.audit.frames += 1;
            let is_it = frame.position == expected.position
                && frame.kind == expected.kind
                && frame.entity_id == expected.entity_id
                && frame.owner == expected.owner
                && frame.group == expected.group
                && frame.body.get() == expected.body.get();
            if !is_it {
                let what = format!(
                    "its frame says {}, the log says {}",
                    frame.body.get(),
                    expected.body.get()
                );
                let entity = Some(expected.entity_id.as_str());
                self.find_of("P5", Some(expected.position), entity, &what);
            }
        }
        Ok(())
    }

    /// What its document must be, if that is baked.
    fn compare_entity(
        &mut self,
        id: &str,
        record: &EntityRecord,
        history: &[Event],
    ) -> Result<Option<(EntityRecord, Json)>, StoreError> {
        let place = Some(record.position);
        let entity = match entity_after::<D>(history, record.number) {
            Ok(Some(entity)) => entity,
            Ok(None) => {
                self.find_of(
                    "P3",
                    place,
                    Some(id),
                    "the log has not brought it into being",
                );
                return Ok(None);
            }
            Err(StoreError::Corrupt(what)) => {
                self.find_of("P3", place, Some(id), &what);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.audit.entities += 1;
        let body = to_json(&D::bake(&entity)).map_err(StoreError::corrupt)?;
        let listed = entity.record().map_err(StoreError::corrupt)?;
        if !is_same(&listed, record) {
            let what = format!("its state is {record:?}, the log says {listed:?}");
            self.find_of("P3", place, Some(id), &what);
        }
        Ok((record.position <= self.audit.baked).then_some((listed, body)))
    }

    async fn compare_documents(
        &mut self,
        expected: Vec<(EntityRecord, Json)>,
    ) -> Result<(), StoreError> {
        let presentation = self.doors.presentation.clone();
        let read = async |(record, body): (EntityRecord, Json)| {
            let document = presentation.document(&record.id).await?;
            Ok((record, body, document))
        };
        let reading = stream::iter(expected).map(read).buffer_unordered(AT_ONCE);
        let all: Vec<_> = reading.try_collect().await?;
        for (record, body, document) in all {
            self.compare_document(&record, &body, document);
        }
        Ok(())
    }

    fn compare_document(
        &mut self,
        expected: &EntityRecord,
        body: &Json,
        document: Option<StoredDocument>,
    ) {
        let (id, place) = (expected.id.as_str(), Some(expected.position));
        let Some(document) = document else {
            self.find_of("P4", place, Some(id), "there is no document of it");
            return;
        };
        if document.position > expected.position {
            self.audit.moving += 1;
            return;
        }
        self.audit.documents += 1;
        let is_it = document.position == expected.position
            && document.version == expected.version
            && document.number == expected.number
            && document.owner == expected.owner
            && value(&document.body) == value(body);
        if !is_it {
            let found = document.body.get();
            let what = format!(
                "its document at {} is {found}, the log says {}",
                document.position,
                body.get()
            );
            self.find_of("P4", place, Some(id), &what);
        }
    }

    fn compare_counts(&mut self, entities: u64, parked: u64) {
        if entities != self.numbers {
            let what = format!(
                "{entities} numbers are given, the log says {}",
                self.numbers
            );
            self.find("P3", None, &what);
        }
        // What a later remedy settles meanwhile is not parked any more.
        if parked < self.audit.parked {
            let what = format!(
                "{} are parked, the checkpoint says {parked}",
                self.audit.parked
            );
            self.find("P9", None, &what);
        }
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

fn is_same(one: &EntityRecord, other: &EntityRecord) -> bool {
    let around = |record: &EntityRecord| {
        (
            record.id.clone(),
            record.owner.clone(),
            (record.number, record.position, record.version),
            (record.created_at, record.updated_at),
        )
    };
    around(one) == around(other) && value(&one.state) == value(&other.state)
}

/// What it says, however it is written: stores may order members as they like.
fn value(text: &Json) -> Option<Value> {
    serde_json::from_str(text.get()).ok()
}
