//! Codes of findings, with the name and the fix of each. `docs/doctor.md` lists them.

use serde::{Serialize, Serializer};

/// Code of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A table of the store, or its file, cannot be read.
    DamagedData,
    /// An index of the store cannot be read, or does not agree with its table.
    DamagedIndex,
    /// An accepted operation was lost before it reached the log.
    LostOperation,
    /// A setting of a queue before the log can cause the loss of accepted operations.
    LossyQueue,
    /// A position of the log has no event.
    LogGap,
    /// An event cannot be read.
    UnreadableEvent,
    /// A field of an event contradicts other fields.
    WrongEvent,
    /// An operation is in the log twice.
    DuplicateOperation,
    /// A stored verdict is impossible or contradicts itself.
    WrongVerdict,
    /// The checkpoint of a stage has an impossible position or count.
    WrongCheckpoint,
    /// The output of a stage belongs to another log.
    OtherLog,
    /// An executed entity has no source state.
    MissingState,
    /// A source state differs from the one that the log yields.
    WrongState,
    /// A source state lacks later events.
    StaleState,
    /// A source state has no event in the log.
    UnknownState,
    /// An entity's number is out of sequence.
    WrongNumber,
    /// A snapshot differs from the state that the log yields.
    WrongSnapshot,
    /// The presentation is missing.
    MissingPresentation,
    /// An entity has no document.
    MissingDocument,
    /// A document differs from the one that the log yields.
    WrongDocument,
    /// A document lacks later events.
    StaleDocument,
    /// A document has no event in the log.
    UnknownDocument,
    /// A position has no frame.
    MissingFrame,
    /// A frame differs from the one that the log yields.
    WrongFrame,
    /// A notification contradicts the log or itself.
    WrongNotification,
    /// A row of a read model is unreadable, missing or wrong.
    WrongRow,
    /// An attached file is missing.
    MissingAttachment,
    /// An attached file differs from the one that was uploaded.
    WrongAttachment,
}

/// Way to fix a finding.
enum Fix {
    /// Rebuild of a part of the stores by a command of the program.
    Rebuild(&'static str),
    /// Instruction for the operator; `{program}` stands for the program's name.
    Instruction(&'static str),
}

const PRESENTATION: Fix = Fix::Rebuild("presentation");
const SOURCE: Fix = Fix::Rebuild("source");
const BACKUP: Fix =
    Fix::Instruction("restore the latest backup: no other store holds this part of the log");

impl Code {
    /// All codes.
    pub const ALL: [Self; 28] = [
        Self::DamagedData,
        Self::DamagedIndex,
        Self::LostOperation,
        Self::LossyQueue,
        Self::LogGap,
        Self::UnreadableEvent,
        Self::WrongEvent,
        Self::DuplicateOperation,
        Self::WrongVerdict,
        Self::WrongCheckpoint,
        Self::OtherLog,
        Self::MissingState,
        Self::WrongState,
        Self::StaleState,
        Self::UnknownState,
        Self::WrongNumber,
        Self::WrongSnapshot,
        Self::MissingPresentation,
        Self::MissingDocument,
        Self::WrongDocument,
        Self::StaleDocument,
        Self::UnknownDocument,
        Self::MissingFrame,
        Self::WrongFrame,
        Self::WrongNotification,
        Self::WrongRow,
        Self::MissingAttachment,
        Self::WrongAttachment,
    ];

    /// Returns the name used in output and documentation: lower case, with hyphens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.description().0
    }

    /// Returns the command or the instruction that fixes the finding, for a program of this name.
    #[must_use]
    pub fn fix(self, program: &str) -> String {
        match self.description().1 {
            Fix::Rebuild(part) => format!("{program} rebuild {part}"),
            Fix::Instruction(text) => text.replace("{program}", program),
        }
    }

    /// Name and fix of the code.
    fn description(self) -> (&'static str, Fix) {
        match self {
            Self::DamagedData => (
                "damaged-data",
                Fix::Instruction("restore the latest backup, on another disk"),
            ),
            Self::DamagedIndex => (
                "damaged-index",
                Fix::Instruction(
                    "{program} backup COPY, stop the program, move its data folder away, \
                     {program} restore COPY: the indexes are rebuilt from the copy",
                ),
            ),
            Self::LostOperation => (
                "lost-operation",
                Fix::Instruction(
                    "have the senders of that time send again under the same idempotency keys",
                ),
            ),
            Self::LossyQueue => (
                "lossy-queue",
                Fix::Instruction("revert the setting, or keep it from applying to the queue"),
            ),
            Self::LogGap => ("log-gap", BACKUP),
            Self::UnreadableEvent => ("unreadable-event", BACKUP),
            Self::WrongEvent => ("wrong-event", BACKUP),
            Self::DuplicateOperation => ("duplicate-operation", BACKUP),
            Self::WrongVerdict => ("wrong-verdict", BACKUP),
            Self::WrongCheckpoint => (
                "wrong-checkpoint",
                Fix::Instruction(
                    "{program} rebuild source, if only a count is wrong; if a position is, restore \
                     the latest backup",
                ),
            ),
            Self::OtherLog => (
                "other-log",
                Fix::Instruction(
                    "check that both database URIs belong together; if so, empty the presentation \
                     database; data-baker bakes it again",
                ),
            ),
            Self::MissingState => ("missing-state", SOURCE),
            Self::WrongState => ("wrong-state", SOURCE),
            Self::StaleState => ("stale-state", SOURCE),
            Self::UnknownState => ("unknown-state", SOURCE),
            Self::WrongNumber => ("wrong-number", SOURCE),
            Self::WrongSnapshot => ("wrong-snapshot", SOURCE),
            Self::MissingPresentation => (
                "missing-presentation",
                Fix::Instruction(
                    "start data-baker with this presentation database, or correct its URI",
                ),
            ),
            Self::MissingDocument => ("missing-document", PRESENTATION),
            Self::WrongDocument => ("wrong-document", PRESENTATION),
            Self::StaleDocument => ("stale-document", PRESENTATION),
            Self::UnknownDocument => ("unknown-document", PRESENTATION),
            Self::MissingFrame => ("missing-frame", PRESENTATION),
            Self::WrongFrame => ("wrong-frame", PRESENTATION),
            Self::WrongNotification => (
                "wrong-notification",
                Fix::Instruction("compare it with what was sent; it is not sent again"),
            ),
            Self::WrongRow => (
                "wrong-row",
                Fix::Instruction("send POST /read-models/NAME/rebuild to the server"),
            ),
            Self::MissingAttachment => (
                "missing-attachment",
                Fix::Instruction("put the file back from a backup of the attachments"),
            ),
            Self::WrongAttachment => (
                "wrong-attachment",
                Fix::Instruction("put the file back from a backup of the attachments"),
            ),
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_distinct_and_documented() {
        let names: BTreeSet<&str> = Code::ALL.into_iter().map(Code::as_str).collect();
        assert_eq!(names.len(), Code::ALL.len());
        let documented = include_str!("../../../../docs/doctor.md");
        for name in names {
            assert!(documented.contains(&format!("| `{name}` |")), "{name}");
        }
    }
}
