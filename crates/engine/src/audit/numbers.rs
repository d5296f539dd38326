//! Check of the entities' numbers, which follow the order of creation: 1, 2, 3, …

/// Sequence of the numbers assigned so far, according to the log.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    counted: u64,
    /// Offset of the stored numbers from the counted ones. A shifted sequence is reported once
    /// and not for each number.
    offset: i128,
    /// Deviation of the last number, if it may be the only wrong one.
    suspected: Option<i128>,
    /// Number of entities whose creation is uncertain.
    unknown: u64,
}

impl Numbers {
    /// Checks the number of the next created entity. Returns the expected one if it differs.
    pub(super) fn check_next(&mut self, number: u64) -> Option<u64> {
        let before = i128::from(self.counted) + self.offset;
        self.counted += 1;
        let distance = i128::from(number) - before - 1;
        if distance == 0 {
            self.suspected = None;
            return None;
        }
        if distance > 0 && distance <= i128::from(self.unknown) {
            self.unknown -= u64::try_from(distance).unwrap_or_default();
            self.offset += distance;
            return None;
        }
        if self.suspected == Some(distance) {
            // The whole sequence is shifted, not only one number.
            self.offset += distance;
            self.suspected = None;
            return None;
        }
        self.suspected = Some(distance);
        u64::try_from(before + 1).ok()
    }

    /// Counts an entity whose creation is uncertain.
    pub(super) fn skip_unknown(&mut self) {
        self.unknown += 1;
    }

    /// Returns the count of numbers assigned.
    pub(super) fn counted(&self) -> u64 {
        self.counted
    }

    /// Checks whether `count` is a possible count of created entities.
    pub(super) fn is_possible_count(&self, count: u64) -> bool {
        let least = i128::from(self.counted) + self.offset;
        (least..=least + i128::from(self.unknown)).contains(&i128::from(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(numbers: &[u64]) -> Vec<u64> {
        let mut all = Numbers::default();
        numbers
            .iter()
            .filter_map(|number| all.check_next(*number))
            .collect()
    }

    #[test]
    fn only_wrong_numbers_are_reported() {
        assert_eq!(wrong(&[1, 2, 3]), [0_u64; 0]);
        assert_eq!(wrong(&[1, 9, 3, 4]), [2], "a single wrong number");
        assert_eq!(wrong(&[1, 3, 4, 5]), [2], "a shifted sequence");
        assert_eq!(wrong(&[2, 1]), [1, 2]);
    }

    #[test]
    fn an_uncertain_creation_may_have_taken_a_number() {
        let mut numbers = Numbers::default();
        numbers.skip_unknown();
        assert_eq!(numbers.check_next(2), None);
        assert!(numbers.is_possible_count(2));
        assert!(!numbers.is_possible_count(1) && !numbers.is_possible_count(3));
    }
}
