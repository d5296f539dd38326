//! Bounds on subscribers: in all, of one client, and apart from them those who have not said who
//! they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access::Caller;
use crate::metrics;
use crate::problem::Problem;

/// How many.
#[derive(Clone, Copy, Debug)]
pub struct PlaceLimits {
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
pub(crate) struct Places {
    limits: PlaceLimits,
    subscribers: Mutex<Taken>,
    unauthenticated: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    each: HashMap<Caller, usize>,
}

/// Which places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pool {
    Subscribers,
    Unauthenticated,
}

/// A place, free again when it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    pool: Pool,
    caller: Caller,
}

/// The bound that another subscriber would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crowded {
    /// The one on all.
    All,
    /// The one on this client's, which is this.
    Client(usize),
}

impl From<Crowded> for Problem {
    fn from(crowded: Crowded) -> Self {
        match crowded {
            Crowded::All => Self::unavailable(crowded.to_string()),
            Crowded::Client(most) => Self::too_many_subscriptions(most),
        }
    }
}

impl std::fmt::Display for Crowded {
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

impl Places {
    pub(crate) fn new(limits: PlaceLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            subscribers: Mutex::default(),
            unauthenticated: Mutex::default(),
        })
    }

    fn taken(&self, pool: Pool) -> MutexGuard<'_, Taken> {
        let taken = match pool {
            Pool::Subscribers => &self.subscribers,
            Pool::Unauthenticated => &self.unauthenticated,
        };
        taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a subscriber's place.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(super) fn take(self: &Arc<Self>, caller: Caller) -> Result<Place, Crowded> {
        self.take_of(Pool::Subscribers, caller)
    }

    /// Takes a place for somebody who has yet to say who they are.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(super) fn take_unauthenticated(self: &Arc<Self>, caller: Caller) -> Result<Place, Crowded> {
        self.take_of(Pool::Unauthenticated, caller)
    }

    fn take_of(self: &Arc<Self>, pool: Pool, caller: Caller) -> Result<Place, Crowded> {
        let (all, each) = match pool {
            Pool::Subscribers => (self.limits.all, self.limits.each),
            Pool::Unauthenticated => (
                self.limits.unauthenticated,
                self.limits.unauthenticated_each,
            ),
        };
        let mut taken = self.taken(pool);
        if taken.all >= all {
            return Err(Crowded::All);
        }
        let own = taken.each.get(&caller).copied().unwrap_or_default();
        if each > 0 && own >= each {
            return Err(Crowded::Client(each));
        }
        taken.each.insert(caller.clone(), own + 1);
        taken.all += 1;
        if pool == Pool::Subscribers {
            metrics::clients(taken.all);
        }
        drop(taken);
        Ok(Place {
            places: self.clone(),
            pool,
            caller,
        })
    }
}

impl Place {
    /// The place of a subscriber, once it is known who it is.
    ///
    /// # Errors
    /// The bound that is reached.
    pub(super) fn taken_by(&mut self, caller: Caller) -> Result<(), Crowded> {
        if self.pool == Pool::Unauthenticated {
            *self = self.places.take(caller)?;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken(self.pool);
        taken.all -= 1;
        if self.pool == Pool::Subscribers {
            metrics::clients(taken.all);
        }
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

    fn places() -> Arc<Places> {
        Places::new(PlaceLimits {
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
        assert_eq!(places.take(caller("ada")).err(), Some(Crowded::Client(2)));
        let _third = places.take(caller("bob")).expect("a place");
        assert_eq!(places.take(caller("eve")).err(), Some(Crowded::All));
        drop(first);
        assert!(places.take(caller("ada")).is_ok());
        let taken = places.taken(Pool::Subscribers);
        assert!(taken.each.len() <= 2, "nobody is remembered");
    }

    #[test]
    fn the_unauthenticated_take_nobodys_place() {
        let places = places();
        let somewhere = || caller("192.0.2.1");
        let mut first = places.take_unauthenticated(somewhere()).expect("a place");
        let _second = places.take_unauthenticated(somewhere()).expect("a place");
        let third = places.take_unauthenticated(somewhere());
        assert_eq!(third.err(), Some(Crowded::Client(2)));
        first.taken_by(caller("ada")).expect("a place");
        let _third = places
            .take_unauthenticated(somewhere())
            .expect("it is free again");
        first.taken_by(caller("ada")).expect("it has one");
        let _more = places.take(caller("ada")).expect("a place");
        let mut fourth = places.take_unauthenticated(caller("b")).expect("a place");
        assert_eq!(fourth.taken_by(caller("ada")), Err(Crowded::Client(2)));
    }
}
