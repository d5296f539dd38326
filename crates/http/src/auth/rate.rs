//! Rate limits per principal or address.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::HttpRequest;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Principal;
use super::client_address::{client_address, client_network};

/// Number of requests between two removals of idle keys.
const REQUESTS_PER_SWEEP: u32 = 10_000;

/// Settings of a rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSettings {
    /// Average number of requests per second.
    pub per_second: NonZeroU32,
    /// Maximum number of requests at once.
    pub burst: NonZeroU32,
}

/// Key by which requests and other uses are limited.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RateLimitKey {
    /// Subject of a principal.
    Principal(String),
    /// Address of an anonymous client.
    Address(IpAddr),
}

impl RateLimitKey {
    /// Returns the key of a request's sender: the principal's subject if it has one, else the
    /// client's address, also behind trusted proxies (IPv6: its /64 network).
    #[must_use]
    pub fn of_request(principal: Option<&Principal>, request: &HttpRequest) -> Self {
        let address = client_address(request).map(client_network);
        let anonymous = address.map_or_else(|| Self::Principal(String::new()), Self::Address);
        match principal {
            Some(principal) => anonymous.with_principal(principal),
            None => anonymous,
        }
    }

    /// Returns the key of the same sender once its principal is known.
    pub(crate) fn with_principal(self, principal: &Principal) -> Self {
        let subject = principal.subject();
        if subject.is_empty() {
            return self;
        }
        Self::Principal(subject.into_owned())
    }
}

/// Rate limiter by the generic cell rate algorithm, which has no fixed windows.
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
    /// The time until the next request is allowed, in seconds, if the limit is exceeded.
    pub(super) fn count(&self, key: &RateLimitKey) -> Result<(), u32> {
        if self
            .requests
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(REQUESTS_PER_SWEEP)
        {
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
        self.buckets.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            u32::try_from(wait.as_millis().div_ceil(1_000))
                .unwrap_or(u32::MAX)
                .max(1)
        })
    }
}
