//! Events of an order, which executed commands cause.

use crate::{Draft, File, Status};

/// All values of [`Event::change`].
pub const CHANGES: &[&str] = &["created", "updated", "status", "deleted"];

/// Event of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The order was placed.
    Created(Draft),
    /// Products, customer and reference were replaced.
    Updated(Draft),
    /// The status was changed.
    StatusChanged(Status),
    /// The order was removed from the lists.
    Deleted {
        /// True if the order was cancelled as well.
        is_cancelled: bool,
    },
    /// A file was attached.
    Attached(File),
    /// The file of this id was removed.
    Detached(String),
}

impl Event {
    /// Returns the name of the change: the second half of the feed's `type`.
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
