//! Position and time of a log entry, as the domain's functions get them.

use crate::{Position, Timestamp};

/// Position and time at which a command takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Position in the log.
    pub position: Position,
    /// Creation time of the log entry; never a client's clock.
    pub at: Timestamp,
}
