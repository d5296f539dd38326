//! Random numbers for delays. Correctness never depends on them.
//!
//! A simulation seeds the generator of its thread, so that a run can be reproduced.

use std::cell::RefCell;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

thread_local! {
    static SEEDED_RNG: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// Seeds the random numbers of this thread.
pub fn seed(seed: u64) {
    SEEDED_RNG.with_borrow_mut(|seeded| *seeded = Some(StdRng::seed_from_u64(seed)));
}

/// Returns a random number from `min` to `max`, both included.
pub(crate) fn between(min: f64, max: f64) -> f64 {
    SEEDED_RNG.with_borrow_mut(|seeded| match seeded {
        Some(random) => random.random_range(min..=max),
        None => rand::rng().random_range(min..=max),
    })
}
