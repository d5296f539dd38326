//! Recording of findings.

use serde_json::Value;

use super::auditor::Auditor;
use super::diff::{Difference, MAX_FIELDS, Redaction};
use super::location::Location;
use super::{Audit, Code, Finding};
use crate::{Domain, Position};

/// Maximum number of findings per code that are listed; all are counted.
const MAX_REPORTED: usize = 20;

impl<D: Domain> Auditor<D> {
    /// Reports a finding that is not about a single field.
    pub(super) fn report(&mut self, code: Code, location: Location<'_>, what: &str) {
        self.record(Finding {
            code,
            position: location.position,
            entity: location.entity.map(str::to_owned),
            field: None,
            expected: None,
            found: None,
            what: redacted(what),
            fix: code.fix(&self.settings.program),
        });
    }

    /// Reports a field with an unexpected value; `what` replaces the default description.
    pub(super) fn report_field(
        &mut self,
        code: Code,
        location: Location<'_>,
        difference: Difference,
        what: Option<String>,
    ) {
        let Difference {
            field,
            expected,
            found,
        } = difference;
        let description = || {
            format!(
                "field {field}: expected {}, found {}",
                plain(&expected),
                plain(&found)
            )
        };
        self.record(Finding {
            code,
            position: location.position,
            entity: location.entity.map(str::to_owned),
            what: what.unwrap_or_else(description),
            field: Some(field),
            expected: Some(expected),
            found: Some(found),
            fix: code.fix(&self.settings.program),
        });
    }

    /// Reports all fields of one object with unexpected values.
    pub(super) fn report_fields(
        &mut self,
        code: Code,
        location: Location<'_>,
        all: Vec<Difference>,
    ) {
        let more = all.len().saturating_sub(MAX_FIELDS);
        for difference in all.into_iter().take(MAX_FIELDS) {
            self.report_field(code, location, difference, None);
        }
        if more > 0 {
            self.report(code, location, &format!("{more} more fields differ"));
        }
    }

    fn record(&mut self, finding: Finding) {
        self.audit.faults += 1;
        let reported = self.reported.entry(finding.code).or_default();
        if *reported < MAX_REPORTED {
            *reported += 1;
            self.audit.findings.push(finding);
        }
    }

    /// Ends the audit at a position from which the log cannot be read, and notes the rest as not
    /// checked.
    pub(super) fn abort(mut self, code: Code, position: Position, what: &str) -> Audit {
        self.report(code, Location::position(position), what);
        let left = format!("everything from position {position} on");
        self.audit.not_checked.push(left);
        self.audit
    }

    /// Returns the redaction rules of the domain.
    pub(super) fn redaction() -> Redaction<'static> {
        Redaction {
            plain: D::PLAIN,
            document: D::NAME,
        }
    }
}

/// Text form of a value, without quotes around strings.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Error text of a store or parser without its quoted parts, which may be personal data.
pub(super) fn redacted(error: &str) -> String {
    let mut parts = error.split('"');
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
    fn quoted_parts_are_redacted() {
        let error = "invalid type: string \"Ada\", expected u64 at \"line\" 1";
        let expected = "invalid type: string \"…\", expected u64 at \"…\" 1";
        assert_eq!(redacted(error), expected);
        assert_eq!(redacted("nothing quoted"), "nothing quoted");
    }
}
