//! What can go wrong behind a store's door.

use crate::Position;

/// An error of a store. None of them says that nothing was written: a write
/// whose answer was lost may well stand, so every write can be repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or answered that it cannot right now. Try again.
    #[error("{0}")]
    Unavailable(String),
    /// It is still being made: not there yet, and on its way.
    #[error("{0}")]
    NotYet(String),
    /// Somebody else has moved the checkpoint: read it again, and go on from there.
    #[error("the checkpoint has moved: another instance is at work")]
    Fenced,
    /// The log has no event where one must be. Never skipped, always reported.
    #[error("the log has a hole: expected position {expected}, found {found}")]
    Hole {
        /// The position that is missing.
        expected: Position,
        /// The position found in its place.
        found: Position,
    },
    /// What is stored cannot be what was written.
    #[error("{0}")]
    Corrupt(String),
}

impl StoreError {
    /// [`StoreError::Unavailable`] with the reason's text.
    #[must_use]
    pub fn unavailable(reason: impl std::fmt::Display) -> Self {
        Self::Unavailable(reason.to_string())
    }

    /// [`StoreError::Corrupt`] with the reason's text.
    #[must_use]
    pub fn corrupt(reason: impl std::fmt::Display) -> Self {
        Self::Corrupt(reason.to_string())
    }
}
