//! Errors of stores.

use crate::Position;

/// An error of a store. An error does not imply that nothing was written: the answer of a
/// successful write may be lost. Every write can therefore be repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store does not answer, or cannot serve the request now. The caller may retry.
    #[error("{0}")]
    Unavailable(String),
    /// The data does not exist yet, but is being built.
    #[error("{0}")]
    NotYet(String),
    /// Another instance has moved the checkpoint. The caller must read it again.
    #[error("fenced: another instance has moved the checkpoint")]
    Fenced,
    /// A position of the log or feed is missing. Never skipped, always reported.
    #[error("gap in the log: expected position {expected}, found {found}")]
    Hole {
        /// Missing position.
        expected: Position,
        /// Position found instead.
        found: Position,
    },
    /// Stored data is invalid.
    #[error("{0}")]
    Corrupt(String),
}

impl StoreError {
    /// Creates a [`StoreError::Unavailable`] with the text of the reason.
    #[must_use]
    pub fn unavailable(reason: impl std::fmt::Display) -> Self {
        Self::Unavailable(reason.to_string())
    }

    /// Creates a [`StoreError::Corrupt`] with the text of the reason.
    #[must_use]
    pub fn corrupt(reason: impl std::fmt::Display) -> Self {
        Self::Corrupt(reason.to_string())
    }
}
