//! Comparison of verdicts, numbers, states, documents and frames with what the log yields.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::Code;
use super::auditor::Auditor;
use super::diff::{Difference, kind_of_text};
use super::fold::{Folded, fold_all};
use super::location::Location;
use crate::ports::{Baking, DocumentRecord, DocumentWrite, StoreError};
use crate::stages::bake::History;
use crate::{
    BlobRef, Domain, EntityRecord, EntryStatus, Frame, Json, LogEntry, Position, Timestamp, to_json,
};

/// Stored output that an entity must have, as of its latest change.
pub(super) struct Expected {
    pub(super) record: EntityRecord,
    pub(super) listed: bool,
    pub(super) body: Json,
    pub(super) blobs: Vec<BlobRef>,
    pub(super) is_baked: bool,
}

impl<D: Domain> Auditor<D> {
    /// Checks whether the fields of a verdict agree with each other and with the position.
    pub(super) fn compare_verdict(&mut self, entry: &LogEntry) {
        let location = Location::entry(entry);
        if entry.status == EntryStatus::Parked {
            self.audit.parked += 1;
        }
        for difference in verdict_differences(entry) {
            self.report_field(Code::WrongVerdict, location, difference, None);
        }
    }

    /// Compares the numbers of the entities that the page created with the expected sequence.
    pub(super) fn compare_numbers(
        &mut self,
        entries: &[LogEntry],
        baking: &Baking,
        histories: &HashMap<String, History>,
    ) {
        let created = baking.documents.iter().filter(|document| document.created);
        let mut created: HashMap<&str, &DocumentWrite> = created
            .map(|document| (document.id.as_str(), document))
            .collect();
        for entry in entries {
            let id = entry.entity_id();
            let history = histories
                .get(id)
                .map_or(&[][..], |history| &history.entries);
            if !is_change(entry, history) {
                continue;
            }
            let Some(document) = created.remove(id) else {
                continue;
            };
            if let Some(expected) = self.numbers.check_next(document.number) {
                let difference = difference("number", expected, document.number);
                self.report_field(Code::WrongNumber, Location::entry(entry), difference, None);
            }
        }
    }

    /// Reports entities that the page changed although their source state is older than it.
    pub(super) fn check_stale_states(
        &mut self,
        from: Position,
        entries: &[LogEntry],
        records: &HashMap<String, EntityRecord>,
        histories: &HashMap<String, History>,
    ) {
        for entry in entries {
            let id = entry.entity_id();
            let Some(at) = records.get(id).map(|record| record.position) else {
                continue;
            };
            if at <= from && is_change(entry, &histories[id].entries) {
                let difference = difference("position", format!("at least {}", entry.position), at);
                self.report_field(Code::StaleState, Location::entry(entry), difference, None);
            }
        }
    }

    /// Compares the frames that are already baked, byte for byte.
    pub(super) async fn compare_frames(&mut self, baking: &Baking) -> Result<(), StoreError> {
        let baked = self.audit.baked;
        let expected = baking.frames.iter().filter(|frame| frame.position <= baked);
        let expected: Vec<&Frame> = expected.collect();
        let (Some(first), Some(last)) = (expected.first(), expected.last()) else {
            return Ok(());
        };
        let from = first.position - 1;
        let found = self.load_frames(from, last.position).await?;
        for frame in expected {
            let location = Location::entity_at(&frame.entity_id, frame.position);
            let Some(found) = found.get(&frame.position) else {
                self.report(Code::MissingFrame, location, "the feed has no frame");
                continue;
            };
            self.audit.frames += 1;
            let all = Self::frame_differences(frame, found);
            self.report_fields(Code::WrongFrame, location, all);
        }
        Ok(())
    }

    fn frame_differences(expected: &Frame, found: &Frame) -> Vec<Difference> {
        let mut all = Vec::new();
        all.extend(differing("type", &expected.kind, &found.kind));
        let field = format!("{}_id", D::NAME);
        all.extend(differing(&field, &expected.entity_id, &found.entity_id));
        all.extend(differing_text("owner", &expected.owner, &found.owner));
        all.extend(differing_text("group", &expected.group, &found.group));
        // Frames of earlier program versions do not have the group that an entity has left.
        if expected.left_group.is_some() && found.left_group.is_some() {
            let (one, other) = (&expected.left_group, &found.left_group);
            all.extend(differing_text("left_group", one, other));
        }
        if expected.body.get() == found.body.get() {
            return all;
        }
        let (one, other) = (value(&expected.body), value(&found.body));
        let within = Self::redaction().differences(&one, &other);
        if within.is_empty() {
            all.push(difference(
                "body",
                "the same text",
                "another text with the same values",
            ));
        }
        all.extend(within);
        all
    }

    /// Loads the frames after `from`, up to `to`, and skips those that are missing or cannot be
    /// read.
    async fn load_frames(
        &mut self,
        mut from: Position,
        to: Position,
    ) -> Result<HashMap<Position, Frame>, StoreError> {
        let mut all = HashMap::new();
        while from < to {
            let limit = usize::try_from(to - from).unwrap_or(usize::MAX);
            match self.deps.presentation.frames(from, limit).await {
                Ok(found) => {
                    let last = found.last().map(|frame| frame.position);
                    all.extend(found.into_iter().map(|frame| (frame.position, frame)));
                    from = last.unwrap_or(to).max(from + 1);
                }
                // Read the frames before the gap, then continue behind it.
                Err(StoreError::Hole { expected, .. }) if expected > from + 1 => {
                    let limit = usize::try_from(expected - 1 - from).unwrap_or(usize::MAX);
                    let found = self.deps.presentation.frames(from, limit).await?;
                    all.extend(found.into_iter().map(|frame| (frame.position, frame)));
                    from = expected;
                }
                Err(StoreError::Hole { .. }) => from += 1,
                Err(StoreError::Corrupt(what)) if limit == 1 => {
                    self.report(Code::WrongFrame, Location::position(to), &what);
                    return Ok(all);
                }
                // One of the frames cannot be read: read each one separately.
                Err(StoreError::Corrupt(_)) => {
                    for position in from + 1..=to {
                        let one = Box::pin(self.load_frames(position - 1, position)).await?;
                        all.extend(one);
                    }
                    return Ok(all);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Compares the source state of an entity with the state that the log yields.
    pub(super) fn compare_entity(
        &mut self,
        id: &str,
        record: &EntityRecord,
        history: &[LogEntry],
    ) -> Result<Option<Expected>, StoreError> {
        let location = Location::entity_at(id, record.position);
        let Folded { entity, changes } = match fold_all::<D>(history, record.number) {
            Ok(folded) => folded,
            Err(StoreError::Corrupt(what)) => {
                self.report(Code::WrongVerdict, location, &what);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        for entry in history {
            let expected = changes.get(&entry.position);
            if let Some(expected) = expected.filter(|word| entry.change.as_deref() != Some(word)) {
                let found = entry.change.as_deref();
                let difference = difference("change", *expected, found);
                self.report_field(Code::WrongVerdict, Location::entry(entry), difference, None);
            }
        }
        let Some(entity) = entity else {
            let what = "no event in the log creates it";
            self.report(Code::UnknownState, location, what);
            return Ok(None);
        };
        self.audit.entities += 1;
        let body = to_json(&D::bake(&entity)).map_err(StoreError::corrupt)?;
        let expected = entity.record().map_err(StoreError::corrupt)?;
        let all = Self::record_differences(&expected, record);
        self.report_fields(Code::WrongState, location, all);
        Ok(Some(Expected {
            listed: D::listed(&entity.state),
            blobs: D::blobs(id, &entity.state),
            is_baked: record.position <= self.audit.baked,
            record: expected,
            body,
        }))
    }

    /// Returns the fields in which two records differ.
    pub(super) fn record_differences(
        expected: &EntityRecord,
        found: &EntityRecord,
    ) -> Vec<Difference> {
        let mut all = Vec::new();
        all.extend(differing("id", &expected.id, &found.id));
        all.extend(differing_text("owner", &expected.owner, &found.owner));
        all.extend(differing("number", &expected.number, &found.number));
        all.extend(differing("position", &expected.position, &found.position));
        all.extend(differing("version", &expected.version, &found.version));
        all.extend(differing_time(
            "created_at",
            expected.created_at,
            found.created_at,
        ));
        all.extend(differing_time(
            "updated_at",
            expected.updated_at,
            found.updated_at,
        ));
        let redaction = Self::redaction();
        let (one, other) = (value(&expected.state), value(&found.state));
        all.extend(
            redaction
                .differences(&one, &other)
                .into_iter()
                .map(|one| Difference {
                    field: format!("state.{}", one.field),
                    ..one
                }),
        );
        all
    }

    /// Compares the documents of those entities that are already baked.
    pub(super) async fn compare_documents(&mut self, all: Vec<Expected>) -> Result<(), StoreError> {
        let all: Vec<Expected> = all.into_iter().filter(|one| one.is_baked).collect();
        let ids: Vec<&str> = all.iter().map(|one| one.record.id.as_str()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let inspector = self.deps.presentation_inspector.clone();
        let mut found = inspector.documents(&ids).await?;
        for expected in &all {
            let document = found.remove(&expected.record.id);
            self.compare_document(expected, document);
        }
        Ok(())
    }

    fn compare_document(
        &mut self,
        expected: &Expected,
        document: Option<Result<DocumentRecord, String>>,
    ) {
        let record = &expected.record;
        let location = Location::entity_at(&record.id, record.position);
        let found = match document {
            None => {
                self.report(Code::MissingDocument, location, "the document is missing");
                return;
            }
            Some(Err(what)) => {
                self.report(Code::WrongDocument, location, &what);
                return;
            }
            Some(Ok(found)) => found,
        };
        if found.position > self.audit.baked {
            self.note_concurrent_change(&record.id, found.position);
            return;
        }
        self.audit.documents += 1;
        let mut all = Vec::new();
        all.extend(differing("number", &record.number, &found.number));
        all.extend(differing("position", &record.position, &found.position));
        all.extend(differing("version", &record.version, &found.version));
        all.extend(differing_time(
            "created_at",
            record.created_at,
            found.created_at,
        ));
        all.extend(differing_text("owner", &record.owner, &found.owner));
        all.extend(differing("listed", &expected.listed, &found.listed));
        let (one, other) = (value(&expected.body), value(&found.body));
        all.extend(
            Self::redaction()
                .differences(&one, &other)
                .into_iter()
                .map(|one| Difference {
                    field: format!("body.{}", one.field),
                    ..one
                }),
        );
        let code = match found.position < record.position {
            true => Code::StaleDocument,
            false => Code::WrongDocument,
        };
        self.report_fields(code, location, all);
    }
}

/// Returns the fields of a verdict that have impossible values.
fn verdict_differences(entry: &LogEntry) -> Vec<Difference> {
    let mut all = Vec::new();
    let (is_executed, is_rejected) = (
        entry.status == EntryStatus::Executed,
        entry.status == EntryStatus::Rejected,
    );
    let is_parked = entry.status == EntryStatus::Parked;
    if entry.status == EntryStatus::Stored {
        all.push(difference(
            "status",
            "executed, rejected or parked",
            entry.status.as_str(),
        ));
        return all;
    }
    let mut check = |field: &str, must_be: bool, text: Option<&str>| {
        if must_be != text.is_some() {
            let expected = if must_be { "present" } else { "absent" };
            let found = text.map_or_else(|| "absent".into(), kind_of_text);
            all.push(difference(field, expected, found));
        }
    };
    check("change", is_executed, entry.change.as_deref());
    check("reason", is_rejected, entry.reason.as_deref());
    if !is_rejected {
        check("code", false, entry.code.as_deref());
    }
    let is_resolved = entry.resolved_by.is_some();
    check("parked", is_parked || is_resolved, entry.parked.as_deref());
    let resolved_by = entry.resolved_by;
    if is_parked && is_resolved {
        all.push(difference("settled_by", "absent", resolved_by));
    } else if let Some(by) = resolved_by.filter(|by| *by <= entry.position) {
        all.push(difference(
            "settled_by",
            format!("above {}", entry.position),
            by,
        ));
    }
    let time = entry.execution_time.map(|time| time.to_string());
    let earliest = entry.creation_time;
    match entry.execution_time {
        None if is_executed || is_rejected => {
            all.push(difference("execution_time", "present", "absent"));
        }
        Some(_) if is_parked => all.push(difference("execution_time", "absent", time)),
        Some(at) if at < earliest => {
            all.push(difference(
                "execution_time",
                format!("at least {earliest}"),
                time,
            ));
        }
        _ => {}
    }
    all
}

/// Checks whether the log entry changed its entity: by its own execution, or by resolving a
/// parked entry that was then executed.
fn is_change(entry: &LogEntry, history: &[LogEntry]) -> bool {
    if !entry.operation.operation.is_resolution() {
        return entry.is_executed_in_place();
    }
    let mut resolved = history
        .iter()
        .filter(|one| one.resolved_by == Some(entry.position));
    resolved.any(|one| one.status == EntryStatus::Executed)
}

/// Difference of a field whose values contain no personal data.
pub(super) fn difference(
    field: &str,
    expected: impl Into<Value>,
    found: impl Into<Value>,
) -> Difference {
    Difference {
        field: field.to_owned(),
        expected: expected.into(),
        found: found.into(),
    }
}

/// Difference of such a field; `None` if its values are equal.
pub(super) fn differing<T: PartialEq + Clone + Into<Value>>(
    field: &str,
    expected: &T,
    found: &T,
) -> Option<Difference> {
    (expected != found).then(|| difference(field, expected.clone(), found.clone()))
}

/// Difference of a timestamp; `None` if both are equal.
pub(super) fn differing_time(
    field: &str,
    expected: Timestamp,
    found: Timestamp,
) -> Option<Difference> {
    (expected != found).then(|| difference(field, expected.to_string(), found.to_string()))
}

/// Difference of a field whose text may contain personal data; `None` if both are equal.
fn differing_text(
    field: &str,
    expected: &Option<String>,
    found: &Option<String>,
) -> Option<Difference> {
    if expected == found {
        return None;
    }
    let show = |text: &Option<String>| text.as_deref().map(kind_of_text);
    let (one, mut other) = (show(expected), show(found));
    if one == other {
        other = other.map(|text| format!("another {text}"));
    }
    Some(difference(field, json!(one), json!(other)))
}

/// Parsed JSON, for comparisons that ignore the order of members.
fn value(text: &Json) -> Value {
    serde_json::from_str(text.get()).unwrap_or_default()
}
