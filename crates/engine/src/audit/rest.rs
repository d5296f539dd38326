//! Checks that do not follow the log: snapshots, notifications, rows of read models, and states
//! and documents without any event.

use std::collections::HashMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::Code;
use super::auditor::{Auditor, MAX_CONCURRENT_READS};
use super::compare::{difference, differing, differing_time};
use super::diff::Difference;
use super::fold::fold_all;
use super::location::Location;
use crate::model::ids;
use crate::model::notification::NotificationStatus;
use crate::ports::{Page, StoreError};
use crate::{Domain, EntityRecord, Frame, LogEntry, Notification, Position};

/// Number of records per read.
const PAGE_SIZE: usize = 500;

/// Collections whose records must each have an event.
#[derive(Clone, Copy)]
enum Collection {
    States,
    Documents,
}

impl<D: Domain> Auditor<D> {
    /// Checks everything that is stored besides events, states, documents and frames.
    pub(super) async fn check_rest(&mut self) -> Result<(), StoreError> {
        self.check_snapshots().await?;
        self.check_orphans(Collection::States).await?;
        self.check_orphans(Collection::Documents).await?;
        self.check_notifications().await?;
        self.check_rows().await
    }

    async fn check_snapshots(&mut self) -> Result<(), StoreError> {
        let inspector = self.deps.source_inspector.clone();
        let mut after = (String::new(), 0);
        loop {
            let page = inspector.snapshots((&after.0, after.1), PAGE_SIZE).await?;
            let Some((last, found)) = page.last() else {
                return Ok(());
            };
            // The position of an unreadable snapshot is unknown: continue behind its entity.
            let at = found
                .as_ref()
                .map_or(Position::MAX >> 1, |one| one.position);
            after = (last.clone(), at);
            self.check_snapshot_page(page).await?;
        }
    }

    async fn check_snapshot_page(&mut self, page: Page<EntityRecord>) -> Result<(), StoreError> {
        let mut by_entity: Vec<(String, Vec<EntityRecord>)> = Vec::new();
        for (id, found) in page {
            match found {
                Ok(record) => match by_entity.last_mut().filter(|last| last.0 == id) {
                    Some((_, records)) => records.push(record),
                    None => by_entity.push((id, vec![record])),
                },
                Err(what) => self.report(Code::WrongSnapshot, Location::entity(&id), &what),
            }
        }
        for (id, records) in by_entity {
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
        let location = Location::entity_at(&snapshot.id, snapshot.position);
        let known = history.partition_point(|event| event.position <= snapshot.position);
        let number = number.unwrap_or(snapshot.number);
        let folded = fold_all::<D>(&history[..known], number);
        let entity = folded.ok().and_then(|folded| folded.entity);
        let expected = entity.and_then(|entity| entity.record().ok());
        self.audit.snapshots += 1;
        match expected {
            Some(expected) => {
                let all = Self::record_differences(&expected, snapshot);
                self.report_fields(Code::WrongSnapshot, location, all);
            }
            None => {
                let what = "the log yields no state at its position";
                self.report(Code::WrongSnapshot, location, what);
            }
        }
    }

    /// Checks that each record of a collection belongs to an event of the log.
    async fn check_orphans(&mut self, collection: Collection) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let page = match collection {
                Collection::States => {
                    let inspector = &self.deps.source_inspector;
                    inspector.entities(&after, PAGE_SIZE).await?
                }
                Collection::Documents => {
                    let inspector = &self.deps.presentation_inspector;
                    inspector.document_ids(&after, PAGE_SIZE).await?
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
            let unfounded = self.deps.source_inspector.without_entry(&readable).await?;
            let positions: HashMap<&str, Position> = readable.into_iter().collect();
            for id in unfounded {
                self.report_orphan(collection, &id, positions[id.as_str()])
                    .await?;
            }
        }
    }

    async fn report_orphan(
        &mut self,
        collection: Collection,
        id: &str,
        position: Position,
    ) -> Result<(), StoreError> {
        let (unknown, wrong) = match collection {
            Collection::States => (Code::UnknownState, Code::WrongState),
            Collection::Documents => (Code::UnknownDocument, Code::WrongDocument),
        };
        let location = Location::entity_at(id, position);
        let events = self.deps.log.history(id, 0, Position::MAX).await?;
        if events.is_empty() {
            self.report(unknown, location, "the log has no event of it");
            return Ok(());
        }
        let expected = "the position of one of its events";
        let difference = difference("position", expected, position);
        self.report_field(wrong, location, difference, None);
        Ok(())
    }

    async fn check_notifications(&mut self) -> Result<(), StoreError> {
        let inspector = self.deps.source_inspector.clone();
        let mut after = String::new();
        loop {
            let page = inspector.notifications(&after, PAGE_SIZE).await?;
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
                        self.report(Code::WrongNotification, Location::default(), &what);
                    }
                }
            }
            self.check_notification_page(readable).await?;
        }
    }

    async fn check_notification_page(&mut self, page: Vec<Notification>) -> Result<(), StoreError> {
        let (stored, baked) = (self.audit.stored, self.audit.baked);
        let own_prefix = format!("{}.", D::NAME);
        let (log, presentation) = (&self.deps.log, &self.deps.presentation);
        let read = async |one: Notification| {
            let (from, is_own) = (
                one.position.saturating_sub(1),
                one.kind.starts_with(&own_prefix),
            );
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
        let reading = stream::iter(page)
            .map(read)
            .buffer_unordered(MAX_CONCURRENT_READS);
        let all: Vec<_> = reading.try_collect().await?;
        for (one, is_own, event, frame) in all {
            // Events stored since the audit started count as well.
            if is_own && one.position > stored && one.position > self.deps.log.head().await? {
                let location = Location::entity_at(&one.entity_id, one.position);
                let difference = difference("position", format!("at most {stored}"), one.position);
                self.report_field(Code::WrongNotification, location, difference, None);
                continue;
            }
            self.audit.notifications += 1;
            let mut all = status_differences(&one);
            if let Some(event) = &event {
                all.extend(self.event_differences(&one, event, frame.as_ref()));
            }
            let location = Location::entity_at(&one.entity_id, one.position);
            self.report_fields(Code::WrongNotification, location, all);
        }
        Ok(())
    }

    /// Returns the fields of a notification that contradict its event.
    fn event_differences(
        &self,
        one: &Notification,
        event: &LogEntry,
        frame: Option<&Frame>,
    ) -> Vec<Difference> {
        let mut all = Vec::new();
        let entity = event.entity_id().to_owned();
        all.extend(differing("entity_id", &entity, &one.entity_id));
        let (expected, found) = (event.creation_time, one.occurred_at);
        all.extend(differing_time("occurred_at", expected, found));
        if let Some(frame) = frame {
            all.extend(differing("type", &frame.kind, &one.kind));
        }
        if !self.settings.has_processes {
            let operation = event.operation.operation_id.to_string();
            let parts = ["notification", &operation, &one.lane, &one.to];
            if ids::derived(&parts) != one.id {
                let expected = "the id derived from operation, lane and recipient";
                all.push(difference("id", expected, one.id.to_string()));
            }
        }
        all
    }
}

/// Maps gaps and unreadable events, which are reported elsewhere, to `None`.
fn readable<T>(found: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::Hole { .. } | StoreError::Corrupt(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the fields of a notification that contradict its status.
fn status_differences(one: &Notification) -> Vec<Difference> {
    use NotificationStatus::{Accepted, Failed, Requested, Sent};
    let mut all = Vec::new();
    let is_open = matches!(one.status, Requested | Accepted);
    let mut check = |field: &str, must_be: bool, is: bool| {
        let word = |is| if is { "present" } else { "absent" };
        if must_be != is {
            all.push(difference(field, word(must_be), word(is)));
        }
    };
    check("due_at", is_open, one.due_at.is_some());
    check("ended_at", !is_open, one.ended_at.is_some());
    match one.status {
        Requested if one.attempts > 0 => all.push(difference("attempts", 0, one.attempts)),
        Accepted | Sent if one.attempts == 0 => {
            all.push(difference("attempts", "at least 1", one.attempts));
        }
        Failed if one.reason.is_none() => all.push(difference("reason", "present", "absent")),
        _ => {}
    }
    all
}
