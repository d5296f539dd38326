//! Permits for what goes on at the same time: so many of each client, and so many in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::RateLimitKey;

/// A number of permits.
pub struct Quota {
    all: usize,
    each: usize,
    taken: Mutex<Taken>,
    /// Told the number of permits that are taken, whenever that changes.
    observe: fn(usize),
}

#[derive(Default)]
struct Taken {
    all: usize,
    each: HashMap<RateLimitKey, usize>,
}

/// The limit that leaves no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// All permits are taken.
    All,
    /// This client has as many as one may have: so many.
    Each(usize),
}

/// A permit, free again when it is dropped.
pub struct Permit {
    quota: Arc<Quota>,
    caller: RateLimitKey,
}

impl Quota {
    /// A quota of so many permits in all, and so many of each client.
    #[must_use]
    pub fn new(all: usize, each: usize) -> Arc<Self> {
        Self::observed(all, each, |_| ())
    }

    /// A quota that tells `observe` how many permits are taken, whenever that changes.
    #[must_use]
    pub fn observed(all: usize, each: usize, observe: fn(usize)) -> Arc<Self> {
        Arc::new(Self {
            all,
            each,
            taken: Mutex::default(),
            observe,
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of clients that have permits.
    #[cfg(test)]
    pub(crate) fn clients(&self) -> usize {
        self.taken().each.len()
    }

    /// Takes a permit.
    ///
    /// # Errors
    /// The limit that leaves none.
    pub fn take(self: &Arc<Self>, caller: RateLimitKey) -> Result<Permit, Exceeded> {
        let mut taken = self.taken();
        if taken.all >= self.all {
            return Err(Exceeded::All);
        }
        let own = taken.each.get(&caller).copied().unwrap_or_default();
        if own >= self.each {
            return Err(Exceeded::Each(self.each));
        }
        taken.each.insert(caller.clone(), own + 1);
        taken.all += 1;
        (self.observe)(taken.all);
        drop(taken);
        let quota = self.clone();
        Ok(Permit { quota, caller })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = self.quota.taken();
        taken.all -= 1;
        (self.quota.observe)(taken.all);
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

    fn caller(name: &str) -> RateLimitKey {
        RateLimitKey::Principal(name.to_owned())
    }

    #[test]
    fn permits_are_limited_and_come_free_again() {
        let quota = Quota::new(3, 2);
        let first = quota.take(caller("ada")).ok();
        let second = quota.take(caller("ada")).ok();
        let refused = quota.take(caller("ada")).err();
        assert_eq!(refused, Some(Exceeded::Each(2)), "ada has two");
        let third = quota.take(caller("bob")).ok();
        let refused = quota.take(caller("eve")).err();
        assert_eq!(refused, Some(Exceeded::All), "all are taken");
        drop(first);
        let again = quota.take(caller("ada")).ok();
        assert!(again.is_some());
        drop((second, third, again));
        assert!(quota.taken().each.is_empty(), "nobody is remembered");
    }
}
