//! Limits on concurrent subscribers: in total, per client, and separately for connections that
//! are not authenticated yet.

use std::sync::Arc;

use crate::auth::RateLimitKey;
use crate::limits::{Exceeded, Permit, Quota};
use crate::metrics;
use crate::response::problem::Problem;

/// Maximum numbers of subscribers.
#[derive(Clone, Copy, Debug)]
pub struct SubscriberSettings {
    /// Maximum number of subscribers of this process.
    pub max: usize,
    /// Maximum number of subscribers per principal, or per address; 0 for no limit.
    pub max_per_client: usize,
    /// Maximum number of websockets that have not sent a token yet; counted separately.
    pub max_unauthenticated: usize,
    /// Maximum number of those per address; 0 for no limit.
    pub max_unauthenticated_per_client: usize,
}

/// Subscriber limits of one process.
pub(crate) struct SubscriberLimits {
    subscribers: Arc<Quota>,
    unauthenticated: Arc<Quota>,
}

/// Permit of one subscriber; released on drop.
pub(super) struct SubscriberPermit {
    limits: Arc<SubscriberLimits>,
    is_unauthenticated: bool,
    _permit: Permit,
}

/// Limit that another subscriber would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubscriberLimitExceeded {
    /// Limit on all subscribers.
    Total,
    /// Limit per client, with its value.
    PerClient(usize),
}

impl From<Exceeded> for SubscriberLimitExceeded {
    fn from(exceeded: Exceeded) -> Self {
        match exceeded {
            Exceeded::Total => Self::Total,
            Exceeded::PerClient(limit) => Self::PerClient(limit),
        }
    }
}

impl From<SubscriberLimitExceeded> for Problem {
    fn from(exceeded: SubscriberLimitExceeded) -> Self {
        match exceeded {
            SubscriberLimitExceeded::Total => Self::unavailable(exceeded.to_string()),
            SubscriberLimitExceeded::PerClient(limit) => Self::too_many_subscriptions(limit),
        }
    }
}

impl std::fmt::Display for SubscriberLimitExceeded {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Total => {
                out.write_str("the feed has its maximum number of subscribers; retry later")
            }
            Self::PerClient(limit) => {
                write!(
                    out,
                    "you have {limit} subscriptions to the feed, which is the limit; close one"
                )
            }
        }
    }
}

impl SubscriberLimits {
    pub(crate) fn new(settings: SubscriberSettings) -> Arc<Self> {
        let per_client = |limit| if limit == 0 { usize::MAX } else { limit };
        Arc::new(Self {
            subscribers: Quota::observed(
                settings.max,
                per_client(settings.max_per_client),
                metrics::subscribers,
            ),
            unauthenticated: Quota::new(
                settings.max_unauthenticated,
                per_client(settings.max_unauthenticated_per_client),
            ),
        })
    }

    /// Acquires a subscriber's permit.
    ///
    /// # Errors
    /// [`SubscriberLimitExceeded`], when a limit has been reached.
    pub(super) fn acquire(
        self: &Arc<Self>,
        key: RateLimitKey,
    ) -> Result<SubscriberPermit, SubscriberLimitExceeded> {
        self.acquire_from(&self.subscribers, key, false)
    }

    /// Acquires a permit for a connection that is not authenticated yet.
    ///
    /// # Errors
    /// [`SubscriberLimitExceeded`], when a limit has been reached.
    pub(super) fn acquire_unauthenticated(
        self: &Arc<Self>,
        key: RateLimitKey,
    ) -> Result<SubscriberPermit, SubscriberLimitExceeded> {
        self.acquire_from(&self.unauthenticated, key, true)
    }

    fn acquire_from(
        self: &Arc<Self>,
        quota: &Arc<Quota>,
        key: RateLimitKey,
        is_unauthenticated: bool,
    ) -> Result<SubscriberPermit, SubscriberLimitExceeded> {
        Ok(SubscriberPermit {
            limits: self.clone(),
            is_unauthenticated,
            _permit: quota.take(key)?,
        })
    }
}

impl SubscriberPermit {
    /// Exchanges the permit of an unauthenticated connection for a subscriber's; does nothing if
    /// it is one already.
    ///
    /// # Errors
    /// [`SubscriberLimitExceeded`], when a limit has been reached.
    pub(super) fn authenticate(
        &mut self,
        key: RateLimitKey,
    ) -> Result<(), SubscriberLimitExceeded> {
        if self.is_unauthenticated {
            *self = self.limits.acquire(key)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> RateLimitKey {
        RateLimitKey::Principal(name.to_owned())
    }

    fn limits() -> Arc<SubscriberLimits> {
        SubscriberLimits::new(SubscriberSettings {
            max: 3,
            max_per_client: 2,
            max_unauthenticated: 3,
            max_unauthenticated_per_client: 2,
        })
    }

    #[test]
    fn permits_are_limited_and_released_on_drop() {
        let limits = limits();
        let first = limits.acquire(key("ada")).expect("a permit");
        let _second = limits.acquire(key("ada")).expect("a permit");
        assert_eq!(
            limits.acquire(key("ada")).err(),
            Some(SubscriberLimitExceeded::PerClient(2))
        );
        let _third = limits.acquire(key("bob")).expect("a permit");
        assert_eq!(
            limits.acquire(key("eve")).err(),
            Some(SubscriberLimitExceeded::Total)
        );
        drop(first);
        assert!(limits.acquire(key("ada")).is_ok());
        assert!(
            limits.subscribers.clients() <= 2,
            "clients without permits are forgotten"
        );
    }

    #[test]
    fn unauthenticated_connections_are_counted_separately() {
        let limits = limits();
        let address = || key("192.0.2.1");
        let unauthenticated = || limits.acquire_unauthenticated(address());
        let mut first = unauthenticated().expect("a permit");
        let _second = unauthenticated().expect("a permit");
        let third = unauthenticated();
        assert_eq!(third.err(), Some(SubscriberLimitExceeded::PerClient(2)));
        first.authenticate(key("ada")).expect("a permit");
        let _third = unauthenticated().expect("the first has been released");
        first.authenticate(key("ada")).expect("it has one");
        let _more = limits.acquire(key("ada")).expect("a permit");
        let mut fourth = limits.acquire_unauthenticated(key("b")).expect("a permit");
        assert_eq!(
            fourth.authenticate(key("ada")),
            Err(SubscriberLimitExceeded::PerClient(2))
        );
    }
}
