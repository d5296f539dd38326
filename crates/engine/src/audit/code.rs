//! Kinds of findings: what each is called, and what mends it. `docs/doctor.md` lists them.

use serde::{Serialize, Serializer};

/// Kind of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A table of the store, or its file, cannot be read.
    DamagedData,
    /// An index of the store cannot be read, or does not agree with its table.
    DamagedIndex,
    /// An accepted operation has vanished before the log.
    LostOperation,
    /// A setting of a queue before the log can make accepted operations vanish.
    LossyQueue,
    /// A position of the log has no event.
    LogGap,
    /// An event cannot be read.
    UnreadableEvent,
    /// A field of an event contradicts others.
    WrongEvent,
    /// An operation is in the log twice.
    DuplicateOperation,
    /// The log's word on an execution cannot be, or contradicts itself.
    WrongVerdict,
    /// A stage's checkpoint cannot be where it is.
    WrongCheckpoint,
    /// A stage's output belongs to another log.
    OtherLog,
    /// There is no state of an entity that was executed.
    MissingState,
    /// A state is not what the log leads to.
    WrongState,
    /// A state lacks later events.
    StaleState,
    /// A state that no event speaks of.
    UnknownState,
    /// An entity's number is not its turn.
    WrongNumber,
    /// A snapshot is not what the log leads to.
    WrongSnapshot,
    /// There is no presentation.
    MissingPresentation,
    /// There is no document of an entity.
    MissingDocument,
    /// A document is not what the log leads to.
    WrongDocument,
    /// A document lacks later events.
    StaleDocument,
    /// A document that no event speaks of.
    UnknownDocument,
    /// A position has no frame.
    MissingFrame,
    /// A frame is not what the log leads to.
    WrongFrame,
    /// A notification contradicts the log or itself.
    WrongNotification,
    /// A row of a read model cannot be read or found.
    WrongRow,
    /// An attached file is not there.
    MissingAttachment,
    /// An attached file is not the one that was uploaded.
    WrongAttachment,
}

/// Way to mend a finding.
enum Fix {
    /// A rebuild of a part, which the program does.
    Rebuild(&'static str),
    /// Something else, in words; `{program}` is the program's name.
    Words(&'static str),
}

const PRESENTATION: Fix = Fix::Rebuild("presentation");
const SOURCE: Fix = Fix::Rebuild("source");
const BACKUP: Fix =
    Fix::Words("restore the latest backup: nothing else holds what the log must say here");

impl Code {
    /// All of them.
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

    /// Its name in output and documentation: lower case, with hyphens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.described().0
    }

    /// The command or the words that mend it, for a program of this name.
    #[must_use]
    pub fn fix(self, program: &str) -> String {
        match self.described().1 {
            Fix::Rebuild(part) => format!("{program} replay {part}"),
            Fix::Words(words) => words.replace("{program}", program),
        }
    }

    fn described(self) -> (&'static str, Fix) {
        match self {
            Self::DamagedData => (
                "damaged-data",
                Fix::Words("restore the latest backup, on another disk"),
            ),
            Self::DamagedIndex => (
                "damaged-index",
                Fix::Words(
                    "{program} backup COPY, stop the program, move its data folder away, \
                     {program} restore COPY: the copy has its indexes made again",
                ),
            ),
            Self::LostOperation => (
                "lost-operation",
                Fix::Words("have the senders of that time send again under the same keys"),
            ),
            Self::LossyQueue => (
                "lossy-queue",
                Fix::Words("take the setting back, or keep it off the queue"),
            ),
            Self::LogGap => ("log-gap", BACKUP),
            Self::UnreadableEvent => ("unreadable-event", BACKUP),
            Self::WrongEvent => ("wrong-event", BACKUP),
            Self::DuplicateOperation => ("duplicate-operation", BACKUP),
            Self::WrongVerdict => ("wrong-verdict", BACKUP),
            Self::WrongCheckpoint => (
                "wrong-checkpoint",
                Fix::Words(
                    "{program} replay source, if only a count is wrong; if a position is, restore \
                     the latest backup",
                ),
            ),
            Self::OtherLog => (
                "other-log",
                Fix::Words(
                    "check that both database URIs belong together; if so, empty the presentation \
                     database, and data-baker makes it again",
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
                Fix::Words("start data-baker with this presentation database, or correct its URI"),
            ),
            Self::MissingDocument => ("missing-document", PRESENTATION),
            Self::WrongDocument => ("wrong-document", PRESENTATION),
            Self::StaleDocument => ("stale-document", PRESENTATION),
            Self::UnknownDocument => ("unknown-document", PRESENTATION),
            Self::MissingFrame => ("missing-frame", PRESENTATION),
            Self::WrongFrame => ("wrong-frame", PRESENTATION),
            Self::WrongNotification => (
                "wrong-notification",
                Fix::Words("compare it with what was sent; nothing sends it again"),
            ),
            Self::WrongRow => (
                "wrong-row",
                Fix::Words("POST /read-models/NAME/rebuild, at the server"),
            ),
            Self::MissingAttachment => (
                "missing-attachment",
                Fix::Words("put the file back from a backup of the attachments"),
            ),
            Self::WrongAttachment => (
                "wrong-attachment",
                Fix::Words("put the file back from a backup of the attachments"),
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
