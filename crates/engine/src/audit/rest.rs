//! Checks of what the log does not lead through: snapshots, notifications, rows, what no event
//! speaks of, and what waits before the log.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::Code;
use super::auditor::{AT_ONCE, Auditor};
use super::compare::{differing, differing_time, differs};
use super::diff::Difference;
use super::fold::fold_all;
use super::report::Place;
use crate::model::ids;
use crate::model::notification::NotificationStatus;
use crate::ports::{Page, StoreError};
use crate::{Domain, EntityRecord, Frame, LogEntry, Notification, Position};

/// Rows of a kind that are read together.
const PAGE: usize = 500;

/// Two of the stores' collections that are gone through alike.
#[derive(Clone, Copy)]
enum Kept {
    States,
    Documents,
}

impl<D: Domain> Auditor<D> {
    /// Everything that is stored beside events, states, documents and frames.
    pub(super) async fn rest(&mut self) -> Result<(), StoreError> {
        self.snapshots().await?;
        self.unknown(Kept::States).await?;
        self.unknown(Kept::Documents).await?;
        self.notifications().await?;
        self.rows().await
    }

    async fn snapshots(&mut self) -> Result<(), StoreError> {
        let inspector = self.deps.source_inspector.clone();
        let mut after = (String::new(), 0);
        loop {
            let page = inspector.snapshots((&after.0, after.1), PAGE).await?;
            let Some((last, found)) = page.last() else {
                return Ok(());
            };
            // One that cannot be read does not say where it stands: beyond its entity.
            let at = found
                .as_ref()
                .map_or(Position::MAX >> 1, |one| one.position);
            after = (last.clone(), at);
            self.snapshot_page(page).await?;
        }
    }

    async fn snapshot_page(&mut self, page: Page<EntityRecord>) -> Result<(), StoreError> {
        let mut of_entity: Vec<(String, Vec<EntityRecord>)> = Vec::new();
        for (id, found) in page {
            match found {
                Ok(record) => match of_entity.last_mut().filter(|last| last.0 == id) {
                    Some((_, records)) => records.push(record),
                    None => of_entity.push((id, vec![record])),
                },
                Err(what) => self.find(Code::WrongSnapshot, Place::of_entity(&id), &what),
            }
        }
        for (id, records) in of_entity {
            let up_to = records.last().map_or(0, |last| last.position);
            let history = self.deps.log.history(&id, 0, up_to).await?;
            let record = self.deps.source.load(&[&id]).await;
            let number = record.ok().and_then(|mut found| found.remove(&id));
            let number = number.map(|record| record.number);
            for snapshot in records {
                self.compare_snapshot(&snapshot, &history, number);
            }
        }
        Ok(())
    }

    fn compare_snapshot(
        &mut self,
        snapshot: &EntityRecord,
        history: &[LogEntry],
        number: Option<u64>,
    ) {
        if snapshot.position > self.audit.executed {
            return;
        }
        let place = Place::entity_at(&snapshot.id, snapshot.position);
        let known = history.partition_point(|event| event.position <= snapshot.position);
        let number = number.unwrap_or(snapshot.number);
        let folded = fold_all::<D>(&history[..known], number);
        let entity = folded.ok().and_then(|folded| folded.entity);
        let expected = entity.and_then(|entity| entity.record().ok());
        self.audit.snapshots += 1;
        match expected {
            Some(expected) => {
                let all = Self::record_differences(&expected, snapshot);
                self.find_all(Code::WrongSnapshot, place, all);
            }
            None => self.find(Code::WrongSnapshot, place, "the log does not lead to it"),
        }
    }

    /// States and documents that no event leads to.
    async fn unknown(&mut self, kept: Kept) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let page = match kept {
                Kept::States => self.deps.source_inspector.entities(&after, PAGE).await?,
                Kept::Documents => {
                    let inspector = &self.deps.presentation_inspector;
                    inspector.document_ids(&after, PAGE).await?
                }
            };
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after.clone_from(last);
            let readable = page
                .iter()
                .filter_map(|(id, found)| Some((id.as_str(), *found.as_ref().ok()?)));
            let readable: Vec<(&str, Position)> = readable.collect();
            let unfounded = self.deps.source_inspector.unfounded(&readable).await?;
            let positions: HashMap<&str, Position> = readable.into_iter().collect();
            for id in unfounded {
                self.unfounded(kept, &id, positions[id.as_str()]).await?;
            }
        }
    }

    async fn unfounded(
        &mut self,
        kept: Kept,
        id: &str,
        position: Position,
    ) -> Result<(), StoreError> {
        let (unknown, wrong) = match kept {
            Kept::States => (Code::UnknownState, Code::WrongState),
            Kept::Documents => (Code::UnknownDocument, Code::WrongDocument),
        };
        let place = Place::entity_at(id, position);
        let events = self.deps.log.history(id, 0, Position::MAX).await?;
        if events.is_empty() {
            self.find(unknown, place, "no event speaks of it");
            return Ok(());
        }
        let expected = "the position of one of its events";
        self.find_in(wrong, place, differs("position", expected, position), None);
        Ok(())
    }

    async fn notifications(&mut self) -> Result<(), StoreError> {
        let inspector = self.deps.source_inspector.clone();
        let mut after = String::new();
        loop {
            let page = inspector.notifications(&after, PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after.clone_from(last);
            let mut readable = Vec::new();
            for (id, found) in page {
                match found {
                    Ok(one) => readable.push(one),
                    Err(what) => {
                        let what = format!("notification {id}: {what}");
                        self.find(Code::WrongNotification, Place::default(), &what);
                    }
                }
            }
            self.notification_page(readable).await?;
        }
    }

    async fn notification_page(&mut self, page: Vec<Notification>) -> Result<(), StoreError> {
        let (stored, baked) = (self.audit.stored, self.audit.baked);
        let own = format!("{}.", D::NAME);
        let (log, presentation) = (&self.deps.log, &self.deps.presentation);
        let read = async |one: Notification| {
            let (from, is_own) = (one.position.saturating_sub(1), one.kind.starts_with(&own));
            let event = match is_own && one.position <= stored {
                true => readable(log.read(from, 1).await)?.and_then(|mut all| all.pop()),
                false => None,
            };
            let frame = match event.is_some() && one.position <= baked {
                true => readable(presentation.frames(from, 1).await)?.and_then(|mut all| all.pop()),
                false => None,
            };
            let frame = frame.filter(|frame| frame.position == one.position);
            Ok::<_, StoreError>((one, is_own, event, frame))
        };
        let reading = stream::iter(page).map(read).buffer_unordered(AT_ONCE);
        let all: Vec<_> = reading.try_collect().await?;
        for (one, is_own, event, frame) in all {
            // What has been stored meanwhile counts as well.
            if is_own && one.position > stored && one.position > self.deps.log.head().await? {
                let place = Place::entity_at(&one.entity_id, one.position);
                let differs = differs("position", format!("at most {stored}"), one.position);
                self.find_in(Code::WrongNotification, place, differs, None);
                continue;
            }
            self.audit.notifications += 1;
            let mut all = status_faults(&one);
            if let Some(event) = &event {
                all.extend(self.against_event(&one, event, frame.as_ref()));
            }
            let place = Place::entity_at(&one.entity_id, one.position);
            self.find_all(Code::WrongNotification, place, all);
        }
        Ok(())
    }

    fn against_event(
        &self,
        one: &Notification,
        event: &LogEntry,
        frame: Option<&Frame>,
    ) -> Vec<Difference> {
        let mut all = Vec::new();
        let entity = event.entity_id().to_owned();
        all.extend(differing("entity_id", &entity, &one.entity_id));
        let (happened, told) = (event.creation_time, one.occurred_at);
        all.extend(differing_time("occurred_at", happened, told));
        if let Some(frame) = frame {
            all.extend(differing("type", &frame.kind, &one.kind));
        }
        if !self.settings.has_processes {
            let operation = event.operation.operation_id.to_string();
            let parts = ["notification", &operation, &one.lane, &one.to];
            if ids::derived(&parts) != one.id {
                let expected = "the id that operation, lane and recipient lead to";
                all.push(differs("id", expected, one.id.to_string()));
            }
        }
        all
    }
}

/// A hole or an event that cannot be read has been found elsewhere.
fn readable<T>(found: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::Hole { .. } | StoreError::Corrupt(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fields of a notification that contradict its status.
fn status_faults(one: &Notification) -> Vec<Difference> {
    use NotificationStatus::{Accepted, Failed, Requested, Sent};
    let mut all = Vec::new();
    let is_open = matches!(one.status, Requested | Accepted);
    let mut check = |field: &str, must_be: bool, is: bool| {
        let word = |is| if is { "present" } else { "absent" };
        if must_be != is {
            all.push(differs(field, word(must_be), word(is)));
        }
    };
    check("due_at", is_open, one.due_at.is_some());
    check("ended_at", !is_open, one.ended_at.is_some());
    match one.status {
        Requested if one.attempts > 0 => all.push(differs("attempts", 0, one.attempts)),
        Accepted | Sent if one.attempts == 0 => {
            all.push(differs("attempts", "at least 1", one.attempts));
        }
        Failed if one.reason.is_none() => all.push(differs("reason", "present", "absent")),
        _ => {}
    }
    all
}
