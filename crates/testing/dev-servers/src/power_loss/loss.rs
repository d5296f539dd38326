//! Choices of unsynced data, ignored syncs, and figures of the loss.

use std::collections::BTreeSet;

/// Chooses a number from 0 to the given maximum (inclusive): the number of unsynced writes of a
/// page, or unsynced names of a folder, that reach the disk nevertheless.
pub type Choose<'a> = &'a mut dyn FnMut(usize) -> usize;

/// Keeps synced data only.
pub fn nothing_unsynced(_: usize) -> usize {
    0
}

/// Returns a choice that keeps a random part of the unsynced data, by a seed.
pub fn by_seed(seed: u64) -> impl FnMut(usize) -> usize {
    // An xorshift generator, whose state must not be 0.
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |most| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let numbers = most as u64 + 1;
        usize::try_from((state >> 11) % numbers).unwrap_or(most)
    }
}

/// Syncs that the model ignores: a planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// Syncs of files whose name starts with this prefix.
    Files(&'static str),
    /// Syncs of files below a folder of this name.
    Below(&'static str),
    /// Syncs of folders.
    Folders,
}

/// Result of a power loss: figures of the lost data, and of the records.
#[derive(Clone, Debug, Default)]
pub struct Loss {
    /// Number of recorded operations.
    pub records: u64,
    /// Number of syncs among them.
    pub syncs: u64,
    /// Number of unsynced writes and truncations.
    pub writes: u64,
    /// Number of unsynced changes of names.
    pub names: u64,
    /// Files that were mapped for writing; their changes are not recorded.
    pub mapped: BTreeSet<String>,
    /// Files whose content differs from the records.
    pub unrecorded: Vec<String>,
}

impl Loss {
    /// Adds the figures of another loss.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.syncs += other.syncs;
        self.writes += other.writes;
        self.names += other.names;
        self.mapped.extend(other.mapped);
        self.unrecorded.extend(other.unrecorded);
    }
}
