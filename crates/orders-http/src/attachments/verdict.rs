//! Decision on the bytes of an upload, based on the operation that attaches the file.

use bakehouse_engine::ports::{EventLog, StoreError};
use bakehouse_engine::stages::step::read_command;
use bakehouse_engine::{EntryStatus, LogEntry};
use bakehouse_orders::{Command, Orders};
use uuid::Uuid;

/// Decision on the bytes of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// An order refers to the bytes, or the operation is in a newer format that this version
    /// cannot read.
    Keep,
    /// No order refers to the bytes, now or later.
    Remove,
    /// The operation is in the log and neither executed nor rejected.
    Undecided,
    /// The operation is not in the log.
    Unknown,
}

/// Identifies the bytes of an upload by attachment id and checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileKey<'a> {
    pub(super) attachment_id: &'a str,
    pub(super) sha256: &'a str,
}

impl FileKey<'_> {
    /// Returns the verdict according to the log entry with the operation's id.
    fn verdict_of_entry(&self, entry: &LogEntry) -> Verdict {
        match read_command::<Orders>(&entry.operation) {
            Ok(Command::Attach(file))
                if file.id == self.attachment_id && file.sha256 == self.sha256 =>
            {
                match entry.status {
                    EntryStatus::Executed => Verdict::Keep,
                    EntryStatus::Rejected => Verdict::Remove,
                    EntryStatus::Stored | EntryStatus::Parked => Verdict::Undecided,
                }
            }
            // The operation id belongs to another request, so this one can only be rejected.
            Ok(_) => Verdict::Remove,
            // A newer version may be able to read the command.
            Err(_) => Verdict::Keep,
        }
    }

    /// Returns the verdict according to the complete history of the order.
    pub(super) fn verdict_of_history(&self, entries: &[LogEntry]) -> Verdict {
        let mut verdict = Verdict::Unknown;
        for entry in entries {
            if entry.operation.operation.is_resolution() {
                continue;
            }
            match read_command::<Orders>(&entry.operation) {
                Ok(Command::Attach(file)) if file.id == self.attachment_id => {
                    // An operation whose id was already in use is rejected.
                    verdict = match entry.operation.conflicts_with {
                        None => self.verdict_of_entry(entry),
                        Some(_) if verdict == Verdict::Unknown => Verdict::Remove,
                        Some(_) => verdict,
                    };
                }
                Ok(Command::Detach { id })
                    if id == self.attachment_id && entry.status == EntryStatus::Executed =>
                {
                    verdict = Verdict::Remove;
                }
                Ok(_) => {}
                Err(_) => return Verdict::Keep,
            }
        }
        verdict
    }

    /// Returns the verdict according to the log entry with the given operation id.
    ///
    /// # Errors
    /// Returns the log's error if it cannot be read.
    pub(super) async fn verdict_of_operation(
        &self,
        log: &dyn EventLog,
        operation_id: Uuid,
    ) -> Result<Verdict, StoreError> {
        let entry = log.find(operation_id).await?;
        Ok(entry.map_or(Verdict::Unknown, |entry| self.verdict_of_entry(&entry)))
    }
}

/// Returns the operation id under which the operation of a log entry was submitted.
pub(super) fn sent_operation_id(entry: &LogEntry) -> Uuid {
    let operation = &entry.operation;
    operation.conflicts_with.unwrap_or(operation.operation_id)
}

#[cfg(test)]
mod tests {
    use bakehouse_engine::model::ids;
    use bakehouse_engine::{Operation, Terms, Timestamp, to_json};
    use bakehouse_orders::File;

    use super::*;

    fn entry(command: &Command, status: EntryStatus) -> LogEntry {
        let operation = Operation {
            operation_id: ids::fresh(),
            service_name: "order".into(),
            operation: command.verb(),
            entity_id: "o".into(),
            payload: to_json(command).expect("JSON"),
            schema_version: 1,
            correlation_id: ids::fresh(),
            terms: Terms::default(),
            causation_id: None,
            conflicts_with: None,
            fingerprint: String::new(),
            accepted_at: Timestamp::now(),
        };
        LogEntry {
            status,
            ..LogEntry::stored(1, Timestamp::now(), operation)
        }
    }

    fn attach(id: &str, sha256: &str) -> Command {
        Command::Attach(File {
            id: id.into(),
            name: "a.txt".into(),
            media_type: "text/plain".into(),
            size: 1,
            sha256: sha256.into(),
        })
    }

    fn conflict(command: &Command) -> LogEntry {
        let mut entry = entry(command, EntryStatus::Rejected);
        entry.operation.conflicts_with = Some(ids::fresh());
        entry
    }

    #[test]
    fn bytes_are_kept_while_they_are_or_may_be_attached() {
        use EntryStatus::{Executed, Parked, Rejected, Stored};
        let detach = Command::Detach { id: "f".into() };
        let ours = attach("f", "00");
        let mut unreadable = entry(&ours, Rejected);
        unreadable.operation.schema_version = 99;
        for (entries, expected) in [
            (vec![], Verdict::Unknown),
            (vec![entry(&attach("g", "00"), Executed)], Verdict::Unknown),
            (vec![entry(&ours, Executed)], Verdict::Keep),
            (vec![entry(&ours, Stored)], Verdict::Undecided),
            (vec![entry(&ours, Parked)], Verdict::Undecided),
            (vec![entry(&ours, Rejected)], Verdict::Remove),
            (
                vec![entry(&ours, Executed), entry(&detach, Stored)],
                Verdict::Keep,
            ),
            (
                vec![entry(&ours, Executed), entry(&detach, Rejected)],
                Verdict::Keep,
            ),
            (
                vec![entry(&ours, Executed), entry(&detach, Executed)],
                Verdict::Remove,
            ),
            // Other bytes under the same idempotency key.
            (vec![entry(&attach("f", "11"), Executed)], Verdict::Remove),
            (
                vec![entry(&ours, Executed), conflict(&attach("f", "11"))],
                Verdict::Keep,
            ),
            // The same bytes under the same idempotency key, with another file name.
            (vec![entry(&ours, Executed), conflict(&ours)], Verdict::Keep),
            (vec![conflict(&ours)], Verdict::Remove),
            (vec![unreadable], Verdict::Keep),
        ] {
            let key = FileKey {
                attachment_id: "f",
                sha256: "00",
            };
            assert_eq!(key.verdict_of_history(&entries), expected, "{entries:?}");
        }
    }
}
