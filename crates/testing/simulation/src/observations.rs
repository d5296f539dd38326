//! Observations of clients and subscribers, kept outside the engine for the checker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bakehouse_engine::{Operation, Position};

/// Answer that a client received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The operation was accepted (202).
    Accepted,
    /// All attempts failed; the operation may be stored or not.
    Unknown,
}

/// Operation that a client sent, as recorded by the client.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) operation: Operation,
    pub(crate) answer: Answer,
    /// `true` if the identity had been used before, with other content.
    pub(crate) is_conflict: bool,
}

/// Positions that a subscriber has received, from the first one on; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscriber(Arc<Mutex<Vec<Position>>>);

impl Subscriber {
    /// All received positions, in the order of arrival.
    pub(crate) fn received(&self) -> MutexGuard<'_, Vec<Position>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last received position; 0 if there is none yet.
    pub(crate) fn cursor(&self) -> Position {
        self.received().last().copied().unwrap_or_default()
    }

    pub(crate) fn record(&self, positions: impl Iterator<Item = Position>) {
        self.received().extend(positions);
    }
}

/// Checks whether clients send some operations of an unknown schema version with this seed.
pub(crate) fn has_unreadable(seed: u64) -> bool {
    seed.is_multiple_of(4)
}
