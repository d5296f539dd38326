//! Each thing with what it must be.

use std::collections::HashMap;

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::auditor::{AT_ONCE, Auditor};
use crate::bake::{History, entity_after};
use crate::ports::{Baking, DocumentWrite, StoreError, StoredDocument};
use crate::{Domain, EntityRecord, Event, EventStatus, Frame, Json, Position, to_json};

impl<D: Domain> Auditor<D> {
    pub(super) fn compare_verdict(&mut self, event: &Event) {
        let position = Some(event.position);
        match event.status {
            EventStatus::Stored => {
                let what = "it has no verdict, but lies before the checkpoint";
                self.find("P3", position, what);
            }
            EventStatus::Parked => self.audit.parked += 1,
            EventStatus::Rejected if event.reason.is_none() => {
                self.find("P8", position, "it was refused without a reason");
            }
            EventStatus::Rejected | EventStatus::Executed => {}
        }
    }

    pub(super) fn compare_numbers(
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
            let history = histories.get(id).map_or(&[][..], |history| &history.events);
            if !is_change(event, history) {
                continue;
            }
            let Some(document) = created.remove(id) else {
                continue;
            };
            if let Some(expected) = self.numbers.next(document.number) {
                let what = format!("it is number {}, not {expected}", document.number);
                self.find_of("P3", Some(event.position), Some(id), &what);
            }
        }
    }

    /// What is older than the page was not changed by what is in it.
    pub(super) fn compare_ages(
        &mut self,
        from: Position,
        events: &[Event],
        records: &HashMap<String, EntityRecord>,
        histories: &HashMap<String, History>,
    ) {
        for event in events {
            let id = event.entity_id();
            let Some(at) = records.get(id).map(|record| record.position) else {
                continue;
            };
            if at <= from && is_change(event, &histories[id].events) {
                let what = format!("it changed here, but stands where it was at {at}");
                self.find_of("P3", Some(event.position), Some(id), &what);
            }
        }
    }

    /// Those that are baked: byte for byte.
    pub(super) async fn compare_frames(&mut self, baking: &Baking) -> Result<(), StoreError> {
        let baked = self.audit.baked;
        let expected = baking.frames.iter().filter(|frame| frame.position <= baked);
        let expected: Vec<&Frame> = expected.collect();
        let (Some(first), Some(last)) = (expected.first(), expected.last()) else {
            return Ok(());
        };
        let from = first.position - 1;
        let found = self.frames(from, last.position).await?;
        for frame in expected {
            let place = Some(frame.position);
            let Some(found) = found.get(&frame.position) else {
                self.find("P5", place, "the feed has no frame for it");
                continue;
            };
            self.audit.frames += 1;
            if !is_same_frame(found, frame) {
                let (ours, theirs) = (found.body.get(), frame.body.get());
                let what = format!("its frame says {ours}, the log says {theirs}");
                self.find_of("P5", place, Some(&frame.entity_id), &what);
            }
        }
        Ok(())
    }

    /// Those after a position, up to another, as far as they are there.
    async fn frames(
        &mut self,
        mut from: Position,
        to: Position,
    ) -> Result<HashMap<Position, Frame>, StoreError> {
        let mut all = HashMap::new();
        while from < to {
            let limit = usize::try_from(to - from).unwrap_or(usize::MAX);
            match self.doors.presentation.frames(from, limit).await {
                Ok(found) => {
                    let last = found.last().map(|frame| frame.position);
                    all.extend(found.into_iter().map(|frame| (frame.position, frame)));
                    from = last.unwrap_or(to).max(from + 1);
                }
                // Read up to where it is missing or cannot be read, then beyond.
                Err(StoreError::Hole { expected, .. }) if expected > from + 1 => {
                    let limit = usize::try_from(expected - 1 - from).unwrap_or(usize::MAX);
                    let found = self.doors.presentation.frames(from, limit).await?;
                    all.extend(found.into_iter().map(|frame| (frame.position, frame)));
                    from = expected;
                }
                Err(StoreError::Hole { .. }) => from += 1,
                Err(StoreError::Corrupt(what)) => {
                    self.find("P5", Some(from + 1), &format!("from here on: {what}"));
                    return Ok(all);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// What its document must be, if that is baked.
    pub(super) fn compare_entity(
        &mut self,
        id: &str,
        record: &EntityRecord,
        history: &[Event],
    ) -> Result<Option<(EntityRecord, Json)>, StoreError> {
        let place = Some(record.position);
        let entity = match entity_after::<D>(history, record.number) {
            Ok(Some(entity)) => entity,
            Ok(None) => {
                let what = "the log has not brought it into being";
                self.find_of("P3", place, Some(id), what);
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
        let expected = entity.record().map_err(StoreError::corrupt)?;
        if !is_same_record(&expected, record) {
            let what = format!("its state is {record:?}, the log says {expected:?}");
            self.find_of("P3", place, Some(id), &what);
        }
        Ok((record.position <= self.audit.baked).then_some((expected, body)))
    }

    pub(super) async fn compare_documents(
        &mut self,
        expected: Vec<(EntityRecord, Json)>,
    ) -> Result<(), StoreError> {
        let presentation = self.doors.presentation.clone();
        let read = async |(record, body): (EntityRecord, Json)| {
            let document = presentation.document(&record.id).await;
            (record, body, document)
        };
        let reading = stream::iter(expected).map(read).buffer_unordered(AT_ONCE);
        let all: Vec<_> = reading.collect().await;
        for (record, body, document) in all {
            match document {
                Ok(document) => self.compare_document(&record, &body, document),
                Err(StoreError::Corrupt(what)) => {
                    self.find_of("P4", Some(record.position), Some(&record.id), &what);
                }
                Err(error) => return Err(error),
            }
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
        if document.position > self.audit.baked {
            self.moves(id, document.position);
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
}

/// Whether the event changed its entity: by itself, or by settling one that does.
fn is_change(event: &Event, history: &[Event]) -> bool {
    if !event.operation.operation.is_remedy() {
        return event.is_executed_in_place();
    }
    let mut settled = history
        .iter()
        .filter(|one| one.settled_by == Some(event.position));
    settled.any(|one| one.status == EventStatus::Executed)
}

fn is_same_frame(one: &Frame, other: &Frame) -> bool {
    one.position == other.position
        && one.kind == other.kind
        && one.entity_id == other.entity_id
        && one.owner == other.owner
        && one.group == other.group
        && is_same_departure(one, other)
        && one.body.get() == other.body.get()
}

/// Frames of earlier versions do not say which group an entity has left.
fn is_same_departure(one: &Frame, other: &Frame) -> bool {
    one.left_group.is_none() || other.left_group.is_none() || one.left_group == other.left_group
}

fn is_same_record(one: &EntityRecord, other: &EntityRecord) -> bool {
    one.id == other.id
        && one.owner == other.owner
        && (one.number, one.position, one.version) == (other.number, other.position, other.version)
        && (one.created_at, one.updated_at) == (other.created_at, other.updated_at)
        && value(&one.state) == value(&other.state)
}

/// What it says, however it is written: stores may order members as they like.
fn value(text: &Json) -> Option<Value> {
    serde_json::from_str(text.get()).ok()
}
