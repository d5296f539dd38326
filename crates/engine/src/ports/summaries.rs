//! Bounded reads of the log without payloads, for lists, receipts and histories.

use std::sync::Arc;

use uuid::Uuid;

use crate::{EntryStatus, Json, LogEntry, Position, Verb};

/// Query of a page of log entries without payloads; see [`super::EventLog::summaries`].
#[derive(Clone, Copy, Debug)]
pub struct SummaryQuery<'a> {
    /// Entries to choose from.
    pub of: Selection<'a>,
    /// Owners whose operations are included. Others are not read.
    pub senders: Senders<'a>,
    /// Position after which the page begins.
    pub after: Position,
    /// Maximum number of entries.
    pub limit: usize,
}

/// Log entries that a [`SummaryQuery`] chooses from.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// The whole log.
    Log,
    /// Entries of these operations.
    Operations(&'a [Uuid]),
    /// All entries of one entity.
    Entity(&'a str),
    /// Operations that create the entity, without rejected ones.
    Creation(&'a str),
    /// Parked entries of one entity, or of all.
    Parked(Option<&'a str>),
    /// Entries with this correlation id.
    Correlation(Uuid),
}

/// Owners whose operations a [`SummaryQuery`] includes; see [`crate::Terms::owner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Senders<'a> {
    /// Any owner.
    Any,
    /// Only this owner.
    Owner(&'a str),
    /// This owner, and operations without an owner.
    OwnerOrNone(&'a str),
}

impl<'a> SummaryQuery<'a> {
    /// Creates a query of the first entries of a selection, of any sender.
    #[must_use]
    pub fn first(of: Selection<'a>, limit: usize) -> Self {
        Self {
            of,
            senders: Senders::Any,
            after: 0,
            limit,
        }
    }

    /// Checks whether an entry belongs to the page, apart from the limit. Defines the behaviour of
    /// every store.
    #[must_use]
    pub fn matches(&self, entry: &LogEntry) -> bool {
        let operation = &entry.operation;
        let is_selected = match self.of {
            Selection::Log => true,
            Selection::Operations(ids) => ids.contains(&operation.operation_id),
            Selection::Entity(id) => entry.entity_id() == id,
            Selection::Creation(id) => {
                entry.entity_id() == id
                    && operation.operation == Verb::Insert
                    && entry.status != EntryStatus::Rejected
            }
            Selection::Parked(id) => {
                entry.status == EntryStatus::Parked && id.is_none_or(|id| entry.entity_id() == id)
            }
            Selection::Correlation(id) => operation.correlation_id == id,
        };
        is_selected
            && self.senders.include(operation.terms.owner.as_deref())
            && entry.position > self.after
    }
}

impl Senders<'_> {
    /// Checks whether an operation of this owner is included.
    #[must_use]
    pub fn include(self, owner: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Owner(wanted) => owner == Some(wanted),
            Self::OwnerOrNone(wanted) => owner.is_none_or(|owner| owner == wanted),
        }
    }
}

/// Returns the payload of an entry that was read without it: `null`.
#[must_use]
pub fn no_payload() -> Json {
    Arc::from(serde_json::value::RawValue::NULL.to_owned())
}
