//! Fate of the bytes of an upload, by what the log says of its operation.

use bakehouse_engine::ports::{EventLog, StoreError};
use bakehouse_engine::stages::step::read_command;
use bakehouse_engine::{EntryStatus, LogEntry};
use bakehouse_orders::{Command, Orders};
use uuid::Uuid;

/// Fate of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// An order refers to them, or somebody who knows better must say.
    Keep,
    /// No order refers to them, nor ever will.
    Remove,
    /// The operation is in the log, and neither executed nor refused.
    Undecided,
    /// The log does not have the operation.
    Unknown,
}

/// The bytes of an upload: under which id, and with which checksum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a> {
    pub(super) attachment_id: &'a str,
    pub(super) sha256: &'a str,
}

impl Bytes<'_> {
    /// By the event that has the operation's identity.
    fn of_event(&self, event: &LogEntry) -> Verdict {
        match read_command::<Orders>(&event.operation) {
            Ok(Command::Attach(file))
                if file.id == self.attachment_id && file.sha256 == self.sha256 =>
            {
                match event.status {
                    EntryStatus::Executed => Verdict::Keep,
                    EntryStatus::Rejected => Verdict::Remove,
                    EntryStatus::Stored | EntryStatus::Parked => Verdict::Undecided,
                }
            }
            // The identity belongs to another request, so that this one can only be refused.
            Ok(_) => Verdict::Remove,
            // A newer program may know what it says of the file.
            Err(_) => Verdict::Keep,
        }
    }

    /// By the history of the order, all of it.
    pub(super) fn of_history(&self, events: &[LogEntry]) -> Verdict {
        let mut verdict = Verdict::Unknown;
        for event in events {
            if event.operation.operation.is_resolution() {
                continue;
            }
            match read_command::<Orders>(&event.operation) {
                Ok(Command::Attach(file)) if file.id == self.attachment_id => {
                    // Whatever came under an identity that was taken is refused.
                    verdict = match event.operation.conflicts_with {
                        None => self.of_event(event),
                        Some(_) if verdict == Verdict::Unknown => Verdict::Remove,
                        Some(_) => verdict,
                    };
                }
                Ok(Command::Detach { id })
                    if id == self.attachment_id && event.status == EntryStatus::Executed =>
                {
                    verdict = Verdict::Remove;
                }
                Ok(_) => {}
                Err(_) => return Verdict::Keep,
            }
        }
        verdict
    }

    /// By what the log has under the operation's identity.
    pub(super) async fn of_operation(
        &self,
        log: &dyn EventLog,
        operation_id: Uuid,
    ) -> Result<Verdict, StoreError> {
        let event = log.find(operation_id).await?;
        Ok(event.map_or(Verdict::Unknown, |event| self.of_event(&event)))
    }
}

/// The identity that an event's operation was sent under.
pub(super) fn sent_as(event: &LogEntry) -> Uuid {
    let operation = &event.operation;
    operation.conflicts_with.unwrap_or(operation.operation_id)
}

#[cfg(test)]
mod tests {
    use bakehouse_engine::model::ids;
    use bakehouse_engine::{Operation, Terms, Timestamp, to_json};
    use bakehouse_orders::File;

    use super::*;

    fn event(command: &Command, status: EntryStatus) -> LogEntry {
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
        let mut event = event(command, EntryStatus::Rejected);
        event.operation.conflicts_with = Some(ids::fresh());
        event
    }

    #[test]
    fn bytes_stay_while_they_are_attached_or_may_yet_be() {
        use EntryStatus::{Executed, Parked, Rejected, Stored};
        let detach = Command::Detach { id: "f".into() };
        let ours = attach("f", "00");
        let mut unreadable = event(&ours, Rejected);
        unreadable.operation.schema_version = 99;
        for (events, expected) in [
            (vec![], Verdict::Unknown),
            (vec![event(&attach("g", "00"), Executed)], Verdict::Unknown),
            (vec![event(&ours, Executed)], Verdict::Keep),
            (vec![event(&ours, Stored)], Verdict::Undecided),
            (vec![event(&ours, Parked)], Verdict::Undecided),
            (vec![event(&ours, Rejected)], Verdict::Remove),
            (
                vec![event(&ours, Executed), event(&detach, Stored)],
                Verdict::Keep,
            ),
            (
                vec![event(&ours, Executed), event(&detach, Rejected)],
                Verdict::Keep,
            ),
            (
                vec![event(&ours, Executed), event(&detach, Executed)],
                Verdict::Remove,
            ),
            // Other bytes under the same key.
            (vec![event(&attach("f", "11"), Executed)], Verdict::Remove),
            (
                vec![event(&ours, Executed), conflict(&attach("f", "11"))],
                Verdict::Keep,
            ),
            // The same bytes under the same key, in another name.
            (vec![event(&ours, Executed), conflict(&ours)], Verdict::Keep),
            (vec![conflict(&ours)], Verdict::Remove),
            (vec![unreadable], Verdict::Keep),
        ] {
            let bytes = Bytes {
                attachment_id: "f",
                sha256: "00",
            };
            assert_eq!(bytes.of_history(&events), expected, "{events:?}");
        }
    }
}
