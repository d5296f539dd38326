//! What execution establishes about an order.

use crate::{Draft, File, Status};

/// What the feed says of an order that has changed: the domain's name and
/// [`Event::change`].
pub const CHANGES: [&str; 4] = [
    "order.created",
    "order.updated",
    "order.status",
    "order.deleted",
];

/// What the feed says of an operation that was refused.
pub const REJECTED: &str = "order.rejected";

/// What it says of one that was set aside.
pub const PARKED: &str = "order.parked";

/// What it says when an operator has settled operations that had been parked,
/// without any change of the order; otherwise it says what changed.
pub const SETTLED: [&str; 2] = ["order.retried", "order.discarded"];

/// Everything that the feed may say.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    CHANGES.into_iter().chain([REJECTED, PARKED]).chain(SETTLED)
}

/// A fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was placed.
    Created(Draft),
    /// Products, customer and reference were replaced.
    Updated(Draft),
    /// It moved along.
    StatusChanged(Status),
    /// It was cancelled and taken off the lists.
    Deleted,
    /// A file was added.
    Attached(File),
    /// The file of this id was taken away.
    Detached(String),
}

impl Event {
    /// What changed, in a word: the second half of the feed's `type`.
    #[must_use]
    pub fn change(&self) -> &'static str {
        match self {
            Self::Created(_) => "created",
            Self::Updated(_) | Self::Attached(_) | Self::Detached(_) => "updated",
            Self::StatusChanged(_) => "status",
            Self::Deleted => "deleted",
        }
    }
}
