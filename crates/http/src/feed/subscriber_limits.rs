//! Bounds on subscribers: in all, of one client, and apart from them those who have not said who
//! they are.

use std::sync::Arc;

use crate::auth::RateLimitKey;
use crate::limits::{Exceeded, Permit, Quota};
use crate::metrics;
use crate::response::problem::Problem;

/// How many.
#[derive(Clone, Copy, Debug)]
pub struct SubscriberSettings {
    /// Subscribers in all, in this process.
    pub all: usize,
    /// Those of one principal, or address; 0: any.
    pub each: usize,
    /// Websockets that have yet to show a token, in all. They are counted apart.
    pub unauthenticated: usize,
    /// Those of one address; 0: any.
    pub unauthenticated_each: usize,
}

/// The places of one process.
pub(crate) struct SubscriberLimits {
    subscribers: Arc<Quota>,
    unauthenticated: Arc<Quota>,
}

/// A place, free again when it is dropped.
pub(super) struct SubscriberPermit {
    places: Arc<SubscriberLimits>,
    is_unauthenticated: bool,
    _permit: Permit,
}

/// The bound that another subscriber would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubscriberLimitExceeded {
    /// The one on all.
    All,
    /// The one on this client's, which is this.
    Client(usize),
}

impl From<Exceeded> for SubscriberLimitExceeded {
    fn from(exceeded: Exceeded) -> Self {
        match exceeded {
            Exceeded::All => Self::All,
            Exceeded::Each(most) => Self::Client(most),
        }
    }
}

impl From<SubscriberLimitExceeded> for Problem {
    fn from(crowded: SubscriberLimitExceeded) -> Self {
        match crowded {
            SubscriberLimitExceeded::All => Self::unavailable(crowded.to_string()),
            SubscriberLimitExceeded::Client(most) => Self::too_many_subscriptions(most),
        }
    }
}

impl std::fmt::Display for SubscriberLimitExceeded {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => out.write_str("the feed has as many subscribers as it takes"),
            Self::Client(most) => {
                write!(
                    out,
                    "you follow the feed {most} times already, which is the most"
                )
            }
        }
    }
}

impl SubscriberLimits {
    pub(crate) fn new(limits: SubscriberSettings) -> Arc<Self> {
        let each = |most| if most == 0 { usize::MAX } else { most };
        Arc::new(Self {
            subscribers: Quota::observed(limits.all, each(limits.each), metrics::clients),
            unauthenticated: Quota::new(limits.unauthenticated, each(limits.unauthenticated_each)),
        })
    }

    /// Takes a subscriber's place.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(super) fn take(
        self: &Arc<Self>,
        caller: RateLimitKey,
    ) -> Result<SubscriberPermit, SubscriberLimitExceeded> {
        self.place(&self.subscribers, caller, false)
    }

    /// Takes a place for somebody who has yet to say who they are.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(super) fn take_unauthenticated(
        self: &Arc<Self>,
        caller: RateLimitKey,
    ) -> Result<SubscriberPermit, SubscriberLimitExceeded> {
        self.place(&self.unauthenticated, caller, true)
    }

    fn place(
        self: &Arc<Self>,
        quota: &Arc<Quota>,
        caller: RateLimitKey,
        is_unauthenticated: bool,
    ) -> Result<SubscriberPermit, SubscriberLimitExceeded> {
        Ok(SubscriberPermit {
            places: self.clone(),
            is_unauthenticated,
            _permit: quota.take(caller)?,
        })
    }
}

impl SubscriberPermit {
    /// The place of a subscriber, once it is known who it is.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(super) fn taken_by(&mut self, caller: RateLimitKey) -> Result<(), SubscriberLimitExceeded> {
        if self.is_unauthenticated {
            *self = self.places.take(caller)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> RateLimitKey {
        RateLimitKey::Principal(name.to_owned())
    }

    fn places() -> Arc<SubscriberLimits> {
        SubscriberLimits::new(SubscriberSettings {
            all: 3,
            each: 2,
            unauthenticated: 3,
            unauthenticated_each: 2,
        })
    }

    #[test]
    fn places_are_limited_and_come_free_again() {
        let places = places();
        let first = places.take(caller("ada")).expect("a place");
        let _second = places.take(caller("ada")).expect("a place");
        assert_eq!(
            places.take(caller("ada")).err(),
            Some(SubscriberLimitExceeded::Client(2))
        );
        let _third = places.take(caller("bob")).expect("a place");
        assert_eq!(
            places.take(caller("eve")).err(),
            Some(SubscriberLimitExceeded::All)
        );
        drop(first);
        assert!(places.take(caller("ada")).is_ok());
        assert!(places.subscribers.clients() <= 2, "nobody is remembered");
    }

    #[test]
    fn the_unauthenticated_take_nobodys_place() {
        let places = places();
        let somewhere = || caller("192.0.2.1");
        let mut first = places.take_unauthenticated(somewhere()).expect("a place");
        let _second = places.take_unauthenticated(somewhere()).expect("a place");
        let third = places.take_unauthenticated(somewhere());
        assert_eq!(third.err(), Some(SubscriberLimitExceeded::Client(2)));
        first.taken_by(caller("ada")).expect("a place");
        let _third = places
            .take_unauthenticated(somewhere())
            .expect("it is free again");
        first.taken_by(caller("ada")).expect("it has one");
        let _more = places.take(caller("ada")).expect("a place");
        let mut fourth = places.take_unauthenticated(caller("b")).expect("a place");
        assert_eq!(
            fourth.taken_by(caller("ada")),
            Err(SubscriberLimitExceeded::Client(2))
        );
    }
}
