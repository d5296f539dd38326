//! Numbers are given in the order in which entities come into being: 1, 2, 3, …

/// What has been given so far, by the log.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    counted: u64,
    /// How far the stored numbers are from those: after one finding, not one for each.
    shift: i128,
    /// How far the last one was, which may be wrong alone.
    suspected: Option<i128>,
    /// Entities of which it is not known whether they came into being.
    unknown: u64,
}

impl Numbers {
    /// The next one has this number. What it should be, if it is another.
    pub(super) fn next(&mut self, number: u64) -> Option<u64> {
        let before = i128::from(self.counted) + self.shift;
        self.counted += 1;
        let distance = i128::from(number) - before - 1;
        if distance == 0 {
            self.suspected = None;
            return None;
        }
        if distance > 0 && distance <= i128::from(self.unknown) {
            self.unknown -= u64::try_from(distance).unwrap_or_default();
            self.shift += distance;
            return None;
        }
        if self.suspected == Some(distance) {
            // Not that one alone: from there on.
            self.shift += distance;
            self.suspected = None;
            return None;
        }
        self.suspected = Some(distance);
        u64::try_from(before + 1).ok()
    }

    /// There is one that cannot be told about.
    pub(super) fn skip(&mut self) {
        self.unknown += 1;
    }

    /// How many have been given.
    pub(super) fn counted(&self) -> u64 {
        self.counted
    }

    /// Whether so many can have been given.
    pub(super) fn may_be(&self, given: u64) -> bool {
        let least = i128::from(self.counted) + self.shift;
        (least..=least + i128::from(self.unknown)).contains(&i128::from(given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(numbers: &[u64]) -> Vec<u64> {
        let mut all = Numbers::default();
        numbers
            .iter()
            .filter_map(|number| all.next(*number))
            .collect()
    }

    #[test]
    fn what_is_wrong_is_blamed_and_nothing_else() {
        assert_eq!(wrong(&[1, 2, 3]), [0_u64; 0]);
        assert_eq!(wrong(&[1, 9, 3, 4]), [2], "one alone");
        assert_eq!(wrong(&[1, 3, 4, 5]), [2], "from there on");
        assert_eq!(wrong(&[2, 1]), [1, 2]);
    }

    #[test]
    fn what_cannot_be_told_may_have_been_one() {
        let mut numbers = Numbers::default();
        numbers.skip();
        assert_eq!(numbers.next(2), None);
        assert!(numbers.may_be(2) && !numbers.may_be(1) && !numbers.may_be(3));
    }
}
