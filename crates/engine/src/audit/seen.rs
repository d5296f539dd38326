//! Identities that have been seen, in a bounded amount of memory: a filter that may take a new
//! one for known, and never a known one for new.

use std::hash::{DefaultHasher, Hash, Hasher};

use uuid::Uuid;

use crate::Position;

/// Bits of the filter for each identity.
const BITS_EACH: u64 = 16;
/// Bits at least and at most: 8 KiB and 32 MiB.
const MIN_BITS: u64 = 1 << 16;
const MAX_BITS: u64 = 1 << 28;
/// Bits that each identity sets.
const HASHES: u64 = 6;

/// Filter of identities.
pub(super) struct Seen {
    words: Vec<u64>,
    bits: u64,
}

impl Seen {
    /// An empty filter for about so many identities.
    pub(super) fn for_about(count: Position) -> Self {
        let bits = count.saturating_mul(BITS_EACH);
        let bits = bits.clamp(MIN_BITS, MAX_BITS).next_power_of_two();
        let words = usize::try_from(bits / 64).unwrap_or(usize::MAX);
        Self {
            words: vec![0; words],
            bits,
        }
    }

    /// Adds an identity. `false`: it has not been added before; `true`: it may have been.
    pub(super) fn add(&mut self, id: Uuid) -> bool {
        let hash = |seed: u64| {
            let mut hasher = DefaultHasher::new();
            (seed, id.as_u128()).hash(&mut hasher);
            hasher.finish()
        };
        let (first, second) = (hash(1), hash(2) | 1);
        let mut is_known = true;
        for number in 0..HASHES {
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
        let mut seen = Seen::for_about(10_000);
        let all: Vec<Uuid> = (0..10_000).map(|_| ids::fresh()).collect();
        let taken_for_known = all.iter().filter(|id| seen.add(**id)).count();
        assert!(taken_for_known < 100, "{taken_for_known}");
        assert!(all.iter().all(|id| seen.add(*id)));
    }
}
