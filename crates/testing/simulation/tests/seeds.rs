//! No seed violates an invariant, a seed is reproducible, and every planted bug is detected.

use bakehouse_simulation::BUGS;
use bakehouse_simulation::run::run;

/// Seeds of each of the four tests; `cargo xtask simulate` runs any number.
const SEEDS: u64 = 2_000;
/// Maximum number of seeds until a planted bug must be detected.
const MAX_SEEDS_PER_BUG: u64 = 500;

fn no_seed_violates_an_invariant(part: u64) {
    for seed in part * SEEDS..(part + 1) * SEEDS {
        let outcome = run(seed, None).expect("a runtime");
        assert!(
            outcome.faults.is_empty(),
            "seed {seed}: {:?}",
            outcome.faults
        );
        assert!(
            outcome.events > 20,
            "seed {seed}: {} events",
            outcome.events
        );
    }
}

#[test]
fn no_seed_of_the_first_quarter_violates_an_invariant() {
    no_seed_violates_an_invariant(0);
}

#[test]
fn no_seed_of_the_second_quarter_violates_an_invariant() {
    no_seed_violates_an_invariant(1);
}

#[test]
fn no_seed_of_the_third_quarter_violates_an_invariant() {
    no_seed_violates_an_invariant(2);
}

#[test]
fn no_seed_of_the_last_quarter_violates_an_invariant() {
    no_seed_violates_an_invariant(3);
}

#[test]
fn a_seed_is_reproducible() {
    let mut all = Vec::new();
    for seed in 0..40 {
        let first = run(seed, None).expect("a runtime").fingerprint;
        let again = run(seed, None).expect("a runtime").fingerprint;
        assert_eq!(first, again, "seed {seed}");
        all.push(first);
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 40, "each seed is another run");
}

/// Prints the first fault, which shows the check that detected the bug.
#[test]
fn every_planted_bug_is_detected() {
    for bug in BUGS {
        let mut outcomes =
            (0..MAX_SEEDS_PER_BUG).map(|seed| run(seed, Some(bug)).expect("a runtime"));
        let found = outcomes.find(|outcome| !outcome.faults.is_empty());
        let found = found
            .unwrap_or_else(|| panic!("{bug:?} was not detected in {MAX_SEEDS_PER_BUG} seeds"));
        println!("{bug:?}: {}", found.faults[0]);
    }
}
