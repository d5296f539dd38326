//! Online rebuild of a stage's output from the start of the log: a shadow store is built next to
//! the live one and swapped in when both are at the same position.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::Position;

/// Requests and state of rebuilds, one at a time.
#[async_trait]
pub trait Rebuilds: Send + Sync {
    /// Requests a rebuild. If one is in progress, it continues and is returned.
    ///
    /// # Errors
    /// When the store does not answer; the rebuild may have been requested.
    async fn request(&self) -> Result<Rebuild, StoreError>;

    /// Returns the last rebuild.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn last(&self) -> Result<Rebuild, StoreError>;

    /// Abandons a rebuild, if it is in progress. The live store is not changed.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn abandon(&self, rebuild_id: u64, reason: &str) -> Result<(), StoreError>;

    /// Returns the positions of the shadow store, if the rebuild is in progress, and of the live
    /// store.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn progress(&self, rebuild_id: u64) -> Result<(Position, Position), StoreError>;
}

/// Store of a stage that can exist twice: the live store, and the shadow store of a rebuild.
#[async_trait]
pub trait ShadowStores<S: ?Sized + Send + Sync>: Rebuilds {
    /// Opens the shadow store of a rebuild. It is initially empty and has no readers.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn shadow(&self, rebuild_id: u64) -> Result<Arc<S>, StoreError>;

    /// Replaces the live store by the shadow store, atomically and without refusing reads. Writers
    /// must read their checkpoint again: commits based on the former live store may be fenced.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], without any change, unless both stores are exactly at the position
    /// `at` and the rebuild is in progress. After any other error the swap may be incomplete: no
    /// writer can commit before [`ShadowStores::finish_swap`] has completed it.
    async fn swap(&self, rebuild_id: u64, at: Position) -> Result<(), StoreError>;

    /// Completes a swap that another instance has left incomplete. Stores that swap in one
    /// transaction have nothing to do.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn finish_swap(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Removes a part of the obsolete data. Returns whether there is more.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn remove_obsolete(&self) -> Result<bool, StoreError>;
}

/// A rebuild.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuild {
    /// Id of the rebuild: 1, 2, 3, …; 0: there has been none.
    pub rebuild_id: u64,
    /// State of the rebuild.
    pub state: RebuildState,
    /// Reason why it was abandoned.
    pub reason: Option<String>,
}

/// State of a rebuild.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RebuildState {
    /// Completed: the rebuilt store is live. Also the state before the first rebuild.
    #[default]
    Done,
    /// In progress.
    InProgress,
    /// Abandoned: the live store has not changed.
    Abandoned,
}

impl RebuildState {
    const ALL: [Self; 3] = [Self::Done, Self::InProgress, Self::Abandoned];

    /// Returns the form in stores and in the API, which have the words of the first version:
    /// `done`, `under-way` or `given-up`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::InProgress => "under-way",
            Self::Abandoned => "given-up",
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when there is no such state.
    pub fn parse(name: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == name);
        found.ok_or_else(|| StoreError::Corrupt(format!("unknown state of a rebuild: {name}")))
    }
}

impl Rebuild {
    /// Returns the id of the rebuild if it is in progress.
    #[must_use]
    pub fn in_progress(&self) -> Option<u64> {
        (self.state == RebuildState::InProgress).then_some(self.rebuild_id)
    }

    /// Returns the id of the last rebuild that has ended; 0: none. Ended rebuilds are never
    /// resumed.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.in_progress()
            .map_or(self.rebuild_id, |rebuild_id| rebuild_id - 1)
    }
}

/// Slot of a store: live or shadow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    /// The store that is read.
    #[default]
    Live,
    /// The store that the rebuild with this id writes.
    Shadow(u64),
}

impl Slot {
    /// Returns the name of a table or collection in this slot. Names in a shadow slot end with the
    /// id of the rebuild.
    #[must_use]
    pub fn name(self, name: &str) -> String {
        match self {
            Self::Live => name.to_owned(),
            Self::Shadow(rebuild_id) => format!("{name}_r{rebuild_id}"),
        }
    }

    /// Returns a name without the id of the rebuild.
    #[must_use]
    pub fn base(name: &str) -> &str {
        Self::parts(name).map_or(name, |(base, _)| base)
    }

    /// Checks whether `found` is the shadow of `name` in a rebuild with an id up to `last`.
    #[must_use]
    pub fn is_shadow_of(found: &str, name: &str, last: u64) -> bool {
        Self::parts(found).is_some_and(|(base, rebuild_id)| base == name && rebuild_id <= last)
    }

    /// Splits a shadow name into base and rebuild id.
    fn parts(name: &str) -> Option<(&str, u64)> {
        let (base, rebuild_id) = name.rsplit_once("_r")?;
        Some((base, rebuild_id.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_shadow_slot_end_with_the_rebuild_id() {
        assert_eq!(Slot::Live.name("orders"), "orders");
        assert_eq!(Slot::Shadow(7).name("orders"), "orders_r7");
        assert_eq!(Slot::base("orders_r7"), "orders");
        assert_eq!(Slot::base("our_rows"), "our_rows");
        assert!(Slot::is_shadow_of("orders_r7", "orders", 7));
        for other in ["orders_r8", "orders_old_r7", "orders", "orders_rx"] {
            assert!(!Slot::is_shadow_of(other, "orders", 7), "{other}");
        }
    }
}
