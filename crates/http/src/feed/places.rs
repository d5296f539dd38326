//! How many may follow at the same time: altogether, and each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access::Caller;
use crate::metrics;
use crate::problem::Problem;

/// How many.
#[derive(Clone, Copy, Debug)]
pub struct PlaceLimits {
    /// Altogether, in this process.
    pub all: usize,
    /// Of one principal, or address; 0: any.
    pub each: usize,
}

/// The places of one process.
pub(crate) struct Places {
    limits: PlaceLimits,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    each: HashMap<Caller, usize>,
}

/// A place, free again when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    caller: Caller,
}

impl Places {
    pub(crate) fn new(limits: PlaceLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            taken: Mutex::default(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place.
    ///
    /// # Errors
    /// 503 when all are taken, 429 when this caller has enough.
    pub(super) fn take(self: &Arc<Self>, caller: Caller) -> Result<Place, Problem> {
        let mut taken = self.taken();
        if taken.all >= self.limits.all {
            return Err(Problem::unavailable(
                "there are as many subscribers as there can be",
            ));
        }
        let own = taken.each.entry(caller.clone()).or_default();
        if self.limits.each > 0 && *own >= self.limits.each {
            return Err(Problem::too_many_subscriptions(self.limits.each));
        }
        *own += 1;
        taken.all += 1;
        metrics::clients(taken.all);
        drop(taken);
        Ok(Place {
            places: self.clone(),
            caller,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        metrics::clients(taken.all);
        if let Some(own) = taken.each.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                taken.each.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Caller {
        Caller::Principal(name.to_owned())
    }

    #[test]
    fn places_are_limited_and_come_free_again() {
        let places = Places::new(PlaceLimits { all: 3, each: 2 });
        let first = places.take(caller("ada")).expect("a place");
        let _second = places.take(caller("ada")).expect("a place");
        assert!(places.take(caller("ada")).is_err(), "ada has two");
        let _third = places.take(caller("bob")).expect("a place");
        assert!(places.take(caller("eve")).is_err(), "all are taken");
        drop(first);
        assert!(places.take(caller("ada")).is_ok());
        assert!(places.taken().each.len() <= 2, "nobody is remembered");
    }
}
