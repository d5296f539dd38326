//! How often each principal, or each address, may ask.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Principal;

/// Requests after which whoever has not asked for a while is forgotten.
const SWEEP: u32 = 10_000;

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSettings {
    /// Requests a second, on the average.
    pub per_second: NonZeroU32,
    /// Requests at once.
    pub burst: NonZeroU32,
}

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    /// By name.
    Principal(String),
    /// By address, where there is no name.
    Address(IpAddr),
}

impl Caller {
    /// Whoever has sent a request from this address.
    pub(crate) fn of(principal: Option<&Principal>, address: Option<SocketAddr>) -> Self {
        let name = principal.map(Principal::holder).unwrap_or_default();
        match address {
            Some(address) if name.is_empty() => Self::Address(address.ip()),
            _ => Self::Principal(name.into_owned()),
        }
    }
}

/// Counts by the generic cell rate algorithm: no window that could be gamed.
pub(super) struct Limiter {
    buckets: DefaultKeyedRateLimiter<Caller>,
    clock: DefaultClock,
    requests: AtomicU32,
}

impl Limiter {
    pub(super) fn new(settings: &RateSettings) -> Self {
        let quota = Quota::per_second(settings.per_second).allow_burst(settings.burst);
        Self {
            buckets: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            requests: AtomicU32::new(0),
        }
    }

    /// Counts one request.
    ///
    /// # Errors
    /// Seconds to wait before the next.
    pub(super) fn count(&self, caller: &Caller) -> Result<(), u32> {
        if self
            .requests
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(SWEEP)
        {
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
        self.buckets.check_key(caller).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            u32::try_from(wait.as_millis().div_ceil(1_000))
                .unwrap_or(u32::MAX)
                .max(1)
        })
    }
}
