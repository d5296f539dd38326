//! The simulation keeps its promises, comes out the same again, and finds what is planted.

use bakehouse_simulation::BUGS;
use bakehouse_simulation::run::run;

/// Of each of four tests: enough for some minutes; `cargo xtask simulate` takes as many as
/// it is told.
const SEEDS: u64 = 2_000;
/// After so many at the latest a planted bug must have shown.
const PATIENCE: u64 = 500;

fn no_seed_breaks_a_promise(part: u64) {
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
fn no_seed_of_the_first_quarter_breaks_a_promise() {
    no_seed_breaks_a_promise(0);
}

#[test]
fn no_seed_of_the_second_quarter_breaks_a_promise() {
    no_seed_breaks_a_promise(1);
}

#[test]
fn no_seed_of_the_third_quarter_breaks_a_promise() {
    no_seed_breaks_a_promise(2);
}

#[test]
fn no_seed_of_the_last_quarter_breaks_a_promise() {
    no_seed_breaks_a_promise(3);
}

#[test]
fn a_seed_comes_out_the_same_again() {
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

/// How it shows says which check has found it.
#[test]
fn every_planted_bug_is_found() {
    for bug in BUGS {
        let mut outcomes = (0..PATIENCE).map(|seed| run(seed, Some(bug)).expect("a runtime"));
        let found = outcomes.find(|outcome| !outcome.faults.is_empty());
        let found = found.unwrap_or_else(|| panic!("{bug:?} was not found in {PATIENCE} seeds"));
        println!("{bug:?}: {}", found.faults[0]);
    }
}
