//! Permits for concurrent uses, limited per client and in total.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::auth::RateLimitKey;

/// Limited number of permits.
pub struct Quota {
    max: usize,
    max_per_client: usize,
    in_use: Mutex<InUse>,
    /// Called with the number of permits in use whenever it changes.
    observe: fn(usize),
}

/// Numbers of permits in use.
#[derive(Default)]
struct InUse {
    total: usize,
    clients: HashMap<RateLimitKey, usize>,
}

/// Limit that a permit would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    /// The limit in total.
    Total,
    /// The limit per client, with its value.
    PerClient(usize),
}

/// Permit for one use; released when it is dropped.
pub struct Permit {
    quota: Arc<Quota>,
    key: RateLimitKey,
}

impl Quota {
    /// Creates a quota of `max` permits in total and `max_per_client` per client.
    #[must_use]
    pub fn new(max: usize, max_per_client: usize) -> Arc<Self> {
        Self::observed(max, max_per_client, |_| ())
    }

    /// Creates a quota that calls `observe` with the number of permits in use whenever it changes.
    #[must_use]
    pub fn observed(max: usize, max_per_client: usize, observe: fn(usize)) -> Arc<Self> {
        Arc::new(Self {
            max,
            max_per_client,
            in_use: Mutex::default(),
            observe,
        })
    }

    fn in_use(&self) -> MutexGuard<'_, InUse> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of clients that have permits.
    #[cfg(test)]
    pub(crate) fn clients(&self) -> usize {
        self.in_use().clients.len()
    }

    /// Takes a permit.
    ///
    /// # Errors
    /// The limit that the permit would exceed.
    pub fn take(self: &Arc<Self>, key: RateLimitKey) -> Result<Permit, Exceeded> {
        let mut in_use = self.in_use();
        if in_use.total >= self.max {
            return Err(Exceeded::Total);
        }
        let own = in_use.clients.get(&key).copied().unwrap_or_default();
        if own >= self.max_per_client {
            return Err(Exceeded::PerClient(self.max_per_client));
        }
        in_use.clients.insert(key.clone(), own + 1);
        in_use.total += 1;
        (self.observe)(in_use.total);
        drop(in_use);
        let quota = self.clone();
        Ok(Permit { quota, key })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut in_use = self.quota.in_use();
        in_use.total -= 1;
        (self.quota.observe)(in_use.total);
        if let Some(own) = in_use.clients.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                in_use.clients.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> RateLimitKey {
        RateLimitKey::Principal(name.to_owned())
    }

    #[test]
    fn permits_are_limited_and_released() {
        let quota = Quota::new(3, 2);
        let first = quota.take(key("ada")).ok();
        let second = quota.take(key("ada")).ok();
        let refused = quota.take(key("ada")).err();
        assert_eq!(refused, Some(Exceeded::PerClient(2)), "ada has two");
        let third = quota.take(key("bob")).ok();
        let refused = quota.take(key("eve")).err();
        assert_eq!(refused, Some(Exceeded::Total), "all are in use");
        drop(first);
        let again = quota.take(key("ada")).ok();
        assert!(again.is_some());
        drop((second, third, again));
        assert!(quota.in_use().clients.is_empty(), "clients are forgotten");
    }
}
