//! Noting what is found.

use serde_json::Value;

use super::auditor::Auditor;
use super::diff::{Difference, MAX_FIELDS, Shown};
use super::{Audit, Code, Finding};
use crate::{Domain, LogEntry, Position};

/// Findings of one kind that are told; all are counted.
const MAX_TOLD: usize = 20;

impl<D: Domain> Auditor<D> {
    /// Notes a finding that no field can be named of.
    pub(super) fn find(&mut self, code: Code, place: Place<'_>, what: &str) {
        self.note(Finding {
            code,
            position: place.position,
            entity: place.entity.map(str::to_owned),
            field: None,
            expected: None,
            found: None,
            what: redacted(what),
            fix: code.fix(&self.settings.program),
        });
    }

    /// Notes a field that is not what it must be.
    pub(super) fn find_in(
        &mut self,
        code: Code,
        place: Place<'_>,
        differs: Difference,
        what: Option<String>,
    ) {
        let Difference {
            field,
            expected,
            found,
        } = differs;
        let said = || {
            format!(
                "field {field}: expected {}, found {}",
                plain(&expected),
                plain(&found)
            )
        };
        self.note(Finding {
            code,
            position: place.position,
            entity: place.entity.map(str::to_owned),
            what: what.unwrap_or_else(said),
            field: Some(field),
            expected: Some(expected),
            found: Some(found),
            fix: code.fix(&self.settings.program),
        });
    }

    /// Notes all fields of one thing that are not what they must be.
    pub(super) fn find_all(&mut self, code: Code, place: Place<'_>, all: Vec<Difference>) {
        let more = all.len().saturating_sub(MAX_FIELDS);
        for differs in all.into_iter().take(MAX_FIELDS) {
            self.find_in(code, place, differs, None);
        }
        if more > 0 {
            self.find(code, place, &format!("and {more} more fields differ"));
        }
    }

    fn note(&mut self, finding: Finding) {
        self.audit.faults += 1;
        let told = self.told.entry(finding.code).or_default();
        if *told < MAX_TOLD {
            *told += 1;
            self.audit.findings.push(finding);
        }
    }

    /// Notes where the log cannot be read on, and what is not looked at therefore.
    pub(super) fn give_up(mut self, code: Code, position: Position, what: &str) -> Audit {
        self.find(code, Place::at(position), what);
        let left = format!("everything from position {position} on");
        self.audit.not_checked.push(left);
        self.audit
    }

    /// Members that may be shown of this domain.
    pub(super) fn shown() -> Shown<'static> {
        Shown {
            plain: D::PLAIN,
            document: D::NAME,
        }
    }
}

/// Place of a finding.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place<'a> {
    pub(super) position: Option<Position>,
    pub(super) entity: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// A position of the log.
    pub(super) fn at(position: Position) -> Self {
        Self {
            position: Some(position),
            entity: None,
        }
    }

    /// An event.
    pub(super) fn of(event: &'a LogEntry) -> Self {
        Self {
            position: Some(event.position),
            entity: Some(event.entity_id()),
        }
    }

    /// An entity.
    pub(super) fn of_entity(entity: &'a str) -> Self {
        Self {
            position: None,
            entity: Some(entity),
        }
    }

    /// An entity as of a position.
    pub(super) fn entity_at(entity: &'a str, position: Position) -> Self {
        Self {
            position: Some(position),
            entity: Some(entity),
        }
    }
}

/// A value in a sentence.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A store's or parser's words without what they quote, which may be anybody's data.
pub(super) fn redacted(words: &str) -> String {
    let mut parts = words.split('"');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (index, part) in parts.enumerate() {
        text.push('"');
        text.push_str(if index % 2 == 0 { "…" } else { part });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_not_repeated() {
        let said = "invalid type: string \"Ada\", expected u64 at \"line\" 1";
        let expected = "invalid type: string \"…\", expected u64 at \"…\" 1";
        assert_eq!(redacted(said), expected);
        assert_eq!(redacted("nothing quoted"), "nothing quoted");
    }
}
