//! Check that a sequence of positions has no gap.

use super::StoreError;
use crate::{Frame, LogEntry, Position};

/// An item with a position.
pub trait Positioned {
    /// Returns the position.
    fn position(&self) -> Position;
}

impl Positioned for LogEntry {
    fn position(&self) -> Position {
        self.position
    }
}

impl Positioned for Frame {
    fn position(&self) -> Position {
        self.position
    }
}

/// Returns `run` unchanged if it follows `after` without a gap.
///
/// # Errors
/// [`StoreError::Hole`] at the first gap.
pub fn contiguous<T: Positioned>(after: Position, run: Vec<T>) -> Result<Vec<T>, StoreError> {
    // The range ends at the largest position, which has no successor.
    for (found, before) in run.iter().map(Positioned::position).zip(after..) {
        let expected = before + 1;
        if found != expected {
            return Err(StoreError::Hole { expected, found });
        }
    }
    Ok(run)
}
