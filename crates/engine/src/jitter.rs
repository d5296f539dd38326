//! Chance, where nothing depends on it but who comes first: how long to wait.
//!
//! A simulation that is to come out the same again settles it beforehand, for its thread.

use std::cell::RefCell;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

thread_local! {
    static SETTLED: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// From now on chance is a matter of this seed, on this thread.
pub fn settle(seed: u64) {
    SETTLED.with_borrow_mut(|settled| *settled = Some(StdRng::seed_from_u64(seed)));
}

/// A number from `least` up to `most`.
pub(crate) fn between(least: f64, most: f64) -> f64 {
    SETTLED.with_borrow_mut(|settled| match settled {
        Some(random) => random.random_range(least..=most),
        None => rand::rng().random_range(least..=most),
    })
}
