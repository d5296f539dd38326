//! What execution establishes about an order.

use crate::{Draft, File, Status};

/// All that [`Event::change`] may say.
pub const CHANGES: &[&str] = &["created", "updated", "status", "deleted"];

/// A fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was placed.
    Created(Draft),
    /// Products, customer and reference were replaced.
    Updated(Draft),
    /// It moved along.
    StatusChanged(Status),
    /// It was taken off the lists.
    Deleted {
        /// True if it was cancelled by that.
        is_cancelled: bool,
    },
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
            Self::Deleted { .. } => "deleted",
        }
    }
}
