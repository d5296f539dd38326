//! How often each principal, or each address, may ask.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::HttpRequest;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Principal;
use super::client_address::{client_address, counted_as};

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
pub enum RateLimitKey {
    /// By name.
    Principal(String),
    /// By address, where there is no name.
    Address(IpAddr),
}

impl RateLimitKey {
    /// The sender of a request: the principal, or else the client's address, which is found
    /// behind trusted proxies as well (IPv6 by its /64).
    #[must_use]
    pub fn of_request(principal: Option<&Principal>, request: &HttpRequest) -> Self {
        let address = client_address(request).map(counted_as);
        let anonymous = address.map_or_else(|| Self::Principal(String::new()), Self::Address);
        match principal {
            Some(principal) => anonymous.named(principal),
            None => anonymous,
        }
    }

    /// Key of the same sender once it is known who it is.
    pub(crate) fn named(self, principal: &Principal) -> Self {
        let name = principal.holder();
        if name.is_empty() {
            return self;
        }
        Self::Principal(name.into_owned())
    }
}

/// Counts by the generic cell rate algorithm: no window that could be gamed.
pub(super) struct Limiter {
    buckets: DefaultKeyedRateLimiter<RateLimitKey>,
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
    pub(super) fn count(&self, caller: &RateLimitKey) -> Result<(), u32> {
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
