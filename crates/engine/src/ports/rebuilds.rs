//! Making anew, from the log's first event on, what a stage has made: beside what is
//! read, and put in its place once it is as far along.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::Position;

/// What is asked for, and what has become of it. One round at a time.
#[async_trait]
pub trait Rebuilds: Send + Sync {
    /// Begins another round, unless one is under way, which is left to go on.
    ///
    /// # Errors
    /// When the store does not answer; it may have begun.
    async fn ask(&self) -> Result<Rebuild, StoreError>;

    /// The last round.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn last(&self) -> Result<Rebuild, StoreError>;

    /// Ends the round, if it is under way. What is read stays as it is.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn give_up(&self, round: u64, reason: &str) -> Result<(), StoreError>;

    /// How far the round has come, if it is under way; and how far what is read has.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn progress(&self, round: u64) -> Result<(Position, Position), StoreError>;
}

/// The store of a stage, which can be there twice: what is read, and what is being made.
#[async_trait]
pub trait ShadowStores<S: ?Sized + Send + Sync>: Rebuilds {
    /// What is being made in that round: empty at first, and read by nobody.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn beside(&self, round: u64) -> Result<Arc<S>, StoreError>;

    /// What was made is read from now on, and what was read is gone: all of that or
    /// nothing, and without anybody who reads being turned away meanwhile. Whoever writes
    /// has to see again where it stands: what was read of what is gone may be fenced.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], and nothing done, unless both stand exactly at this position
    /// and the round is under way. After any other error it may be half done: nobody
    /// can write then before [`ShadowStores::finish`] has done the rest.
    async fn replace(&self, round: u64, at: Position) -> Result<(), StoreError>;

    /// Ends a replacement that somebody else has left half done. A store that replaces in
    /// one piece has nothing to end.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn finish(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Removes, piece by piece, what nobody will ever read. `true`: there is more.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn tidy(&self) -> Result<bool, StoreError>;
}

/// A round of making anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuild {
    /// Which: 1, 2, 3, …; 0: there has been none.
    pub round: u64,
    /// What has become of it.
    pub state: RebuildState,
    /// Why it was given up.
    pub reason: Option<String>,
}

/// What has become of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RebuildState {
    /// What it made is read; or nothing was ever asked for.
    #[default]
    Done,
    /// It is being made.
    UnderWay,
    /// What was read before still is.
    GivenUp,
}

impl RebuildState {
    const ALL: [Self; 3] = [Self::Done, Self::UnderWay, Self::GivenUp];

    /// Lower case with hyphens, as it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::UnderWay => "under-way",
            Self::GivenUp => "given-up",
        }
    }

    /// The state of that name.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]: there is none.
    pub fn named(name: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == name);
        found.ok_or_else(|| StoreError::Corrupt(format!("there is no such state: {name}")))
    }
}

impl Rebuild {
    /// The round that is under way.
    #[must_use]
    pub fn under_way(&self) -> Option<u64> {
        (self.state == RebuildState::UnderWay).then_some(self.round)
    }

    /// The last round that has ended; 0: none. It and those before it never begin again.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.under_way().map_or(self.round, |round| round - 1)
    }
}

/// Which of the two generations of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    /// What is read.
    #[default]
    Live,
    /// What is being made in a round.
    Shadow(u64),
}

impl Slot {
    /// What something of this half is called in a store: what is being made has its
    /// round behind its name.
    #[must_use]
    pub fn name(self, name: &str) -> String {
        match self {
            Self::Live => name.to_owned(),
            Self::Shadow(round) => format!("{name}_r{round}"),
        }
    }

    /// The name without its round.
    #[must_use]
    pub fn base(name: &str) -> &str {
        Self::parts(name).map_or(name, |(base, _)| base)
    }

    /// Whether a name is that of something made in a round up to `last`.
    #[must_use]
    pub fn is_made_of(found: &str, name: &str, last: u64) -> bool {
        Self::parts(found).is_some_and(|(base, round)| base == name && round <= last)
    }

    fn parts(name: &str) -> Option<(&str, u64)> {
        let (base, round) = name.rsplit_once("_r")?;
        Some((base, round.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_has_its_round_behind_its_name() {
        assert_eq!(Slot::Live.name("orders"), "orders");
        assert_eq!(Slot::Shadow(7).name("orders"), "orders_r7");
        assert_eq!(Slot::base("orders_r7"), "orders");
        assert_eq!(Slot::base("our_rows"), "our_rows");
        assert!(Slot::is_made_of("orders_r7", "orders", 7));
        for other in ["orders_r8", "orders_old_r7", "orders", "orders_rx"] {
            assert!(!Slot::is_made_of(other, "orders", 7), "{other}");
        }
    }
}
