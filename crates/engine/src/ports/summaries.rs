//! Bounded reads of the log without payloads: all that lists, receipts and histories show.

use std::sync::Arc;

use uuid::Uuid;

use crate::{EntryStatus, Json, LogEntry, Position, Verb};

/// A page of events to read without their payloads; see
/// [`super::EventLog::summaries`].
#[derive(Clone, Copy, Debug)]
pub struct SummaryQuery<'a> {
    /// The events to choose from.
    pub of: Selection<'a>,
    /// The owners whose operations are wanted; others are not even read.
    pub senders: Senders<'a>,
    /// The position after which the page begins.
    pub after: Position,
    /// Maximum number of events.
    pub limit: usize,
}

/// The events that a [`SummaryQuery`] chooses from.
#[derive(Clone, Copy, Debug)]
pub enum Selection<'a> {
    /// The whole log.
    Log,
    /// The events of these operations.
    Operations(&'a [Uuid]),
    /// All events of one entity.
    Entity(&'a str),
    /// The operations that bring an entity into being, but for refused ones.
    Creation(&'a str),
    /// The events that are parked: of one entity, or of all.
    Parked(Option<&'a str>),
    /// Everything that one outside request set off.
    Correlation(Uuid),
}

/// The owners whose operations a [`SummaryQuery`] wants; see [`crate::Terms::owner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Senders<'a> {
    /// Any.
    Any,
    /// This owner alone.
    Owner(&'a str),
    /// This owner, and whoever is bound to none.
    OwnerOrNone(&'a str),
}

impl<'a> SummaryQuery<'a> {
    /// The first events of the selection, whoever sent them.
    #[must_use]
    pub fn first(of: Selection<'a>, limit: usize) -> Self {
        Self {
            of,
            senders: Senders::Any,
            after: 0,
            limit,
        }
    }

    /// Tells whether an event belongs to the page, apart from its size. The definition that every
    /// store keeps to.
    #[must_use]
    pub fn matches(&self, event: &LogEntry) -> bool {
        let operation = &event.operation;
        let is_of = match self.of {
            Selection::Log => true,
            Selection::Operations(ids) => ids.contains(&operation.operation_id),
            Selection::Entity(id) => event.entity_id() == id,
            Selection::Creation(id) => {
                event.entity_id() == id
                    && operation.operation == Verb::Insert
                    && event.status != EntryStatus::Rejected
            }
            Selection::Parked(id) => {
                event.status == EntryStatus::Parked && id.is_none_or(|id| event.entity_id() == id)
            }
            Selection::Correlation(id) => operation.correlation_id == id,
        };
        is_of
            && self.senders.include(operation.terms.owner.as_deref())
            && event.position > self.after
    }
}

impl Senders<'_> {
    /// Tells whether an operation of this owner is wanted.
    #[must_use]
    pub fn include(self, owner: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Owner(wanted) => owner == Some(wanted),
            Self::OwnerOrNone(wanted) => owner.is_none_or(|owner| owner == wanted),
        }
    }
}

/// The payload of an event that was read without it: `null`.
#[must_use]
pub fn no_payload() -> Json {
    Arc::from(serde_json::value::RawValue::NULL.to_owned())
}
