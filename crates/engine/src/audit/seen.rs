//! Bloom filter of ids, for finding duplicates in bounded memory. It has false positives and no
//! false negatives.

use std::hash::{DefaultHasher, Hash, Hasher};

use uuid::Uuid;

use crate::Position;

/// Size of the filter in bits per id.
const BITS_PER_ID: u64 = 16;
/// Minimum size of the filter in bits (8 KiB).
const MIN_BITS: u64 = 1 << 16;
/// Maximum size of the filter in bits (32 MiB).
const MAX_BITS: u64 = 1 << 28;
/// Number of bits that each id sets.
const HASHES_PER_ID: u64 = 6;

/// Bloom filter of ids.
pub(super) struct SeenIds {
    words: Vec<u64>,
    bits: u64,
}

impl SeenIds {
    /// Creates an empty filter for about `count` ids.
    pub(super) fn with_capacity(count: Position) -> Self {
        let bits = count.saturating_mul(BITS_PER_ID);
        let bits = bits.clamp(MIN_BITS, MAX_BITS).next_power_of_two();
        let words = usize::try_from(bits / 64).unwrap_or(usize::MAX);
        Self {
            words: vec![0; words],
            bits,
        }
    }

    /// Adds an id. Returns `false` if it was not added before, `true` if it may have been.
    pub(super) fn add(&mut self, id: Uuid) -> bool {
        let hash = |seed: u64| {
            let mut hasher = DefaultHasher::new();
            (seed, id.as_u128()).hash(&mut hasher);
            hasher.finish()
        };
        let (first, second) = (hash(1), hash(2) | 1);
        let mut is_known = true;
        for number in 0..HASHES_PER_ID {
            let bit = first.wrapping_add(number.wrapping_mul(second)) & (self.bits - 1);
            let index = usize::try_from(bit / 64).unwrap_or_default();
            let mask = 1 << (bit % 64);
            is_known &= self.words[index] & mask != 0;
            self.words[index] |= mask;
        }
        is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids;

    #[test]
    fn known_identities_are_known_and_new_ones_mostly_new() {
        let mut seen = SeenIds::with_capacity(10_000);
        let all: Vec<Uuid> = (0..10_000).map(|_| ids::fresh()).collect();
        let false_positives = all.iter().filter(|id| seen.add(**id)).count();
        assert!(false_positives < 100, "{false_positives}");
        assert!(all.iter().all(|id| seen.add(*id)));
    }
}
