//! Upper bounds of the costs of an attack.

use std::time::Duration;

/// Upper bounds of the costs of one attack, above those of the idle server. `None` for no bound.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    /// Bytes of resident memory, at the peak.
    pub(crate) memory: Option<u64>,
    /// Open descriptors, at the peak.
    pub(crate) descriptors: Option<u64>,
    /// Bytes in the data folder, at the peak.
    pub(crate) disk: Option<u64>,
    /// Bytes still in the data folder five seconds after the end.
    pub(crate) disk_left: Option<u64>,
    /// Longest time that a request of another client took.
    pub(crate) others_wait: Option<Duration>,
    /// Bytes that the process reads from files; above those of the baseline, if there is one.
    pub(crate) read: Option<u64>,
    /// Bytes that the process writes to files; above those of the baseline, if there is one.
    pub(crate) written: Option<u64>,
    /// Time that the attack takes, as a multiple of its baseline's.
    pub(crate) time_ratio: Option<f64>,
}
