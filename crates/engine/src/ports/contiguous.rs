//! Runs of positions without a gap: whoever reads one says so, or that there is a hole.

use super::StoreError;
use crate::{Frame, LogEntry, Position};

/// What stands at a position.
pub trait Positioned {
    /// Which.
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

/// Passes on what follows `after` without a gap.
///
/// # Errors
/// [`StoreError::Hole`] at the first gap.
pub fn contiguous<T: Positioned>(after: Position, run: Vec<T>) -> Result<Vec<T>, StoreError> {
    // Nothing follows the last position that there can be.
    for (found, before) in run.iter().map(Positioned::position).zip(after..) {
        let expected = before + 1;
        if found != expected {
            return Err(StoreError::Hole { expected, found });
        }
    }
    Ok(run)
}
