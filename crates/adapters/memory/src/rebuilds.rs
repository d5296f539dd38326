//! What is there twice in memory: what is read, and what is being made anew.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bakehouse_engine::Position;
use bakehouse_engine::ports::{
    PresentationStore, Rebuild, RebuildState, Rebuilds, ShadowStores, Slot, SourceStore, StoreError,
};

use crate::{MemoryPresentation, MemorySource, lock};

/// One generation of a store.
pub(crate) trait Stand: Default + Send {
    /// How far it has come.
    fn position(&self) -> Position;
}

/// Both, and the rounds; clones share them.
pub(crate) struct Twice<T>(Arc<Mutex<Both<T>>>);

#[derive(Default)]
struct Both<T> {
    read: T,
    made: Option<(u64, T)>,
    rebuild: Rebuild,
}

impl<T> Clone for Twice<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Default> Default for Twice<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Stand> Twice<T> {
    /// Does something with one of them.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when it is not there any more; and those of the work.
    pub(crate) fn with<R>(
        &self,
        slot: Slot,
        work: impl FnOnce(&mut T) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let mut both = self.lock();
        match (slot, &mut both.made) {
            (Slot::Live, _) => work(&mut both.read),
            (Slot::Shadow(round), Some((made, state))) if *made == round => work(state),
            (Slot::Shadow(_), _) => Err(StoreError::Fenced),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Both<T>> {
        lock(&self.0)
    }

    fn ask(&self) -> Rebuild {
        let mut both = self.lock();
        if both.rebuild.under_way().is_none() {
            both.rebuild = Rebuild {
                round: both.rebuild.round + 1,
                state: RebuildState::UnderWay,
                reason: None,
            };
        }
        both.rebuild.clone()
    }

    fn give_up(&self, round: u64, reason: &str) {
        let mut both = self.lock();
        if both.rebuild.under_way() == Some(round) {
            both.rebuild.state = RebuildState::GivenUp;
            both.rebuild.reason = Some(reason.to_owned());
        }
    }

    fn progress(&self, round: u64) -> (Position, Position) {
        let both = self.lock();
        let made = both.made.as_ref().filter(|(made, _)| *made == round);
        let made = made.map_or(0, |(_, state)| state.position());
        (made, both.read.position())
    }

    fn begin(&self, round: u64) -> Result<(), StoreError> {
        let mut both = self.lock();
        if both.rebuild.under_way() != Some(round) {
            return Err(StoreError::Fenced);
        }
        if both.made.as_ref().is_none_or(|(made, _)| *made != round) {
            both.made = Some((round, T::default()));
        }
        Ok(())
    }

    fn replace(&self, round: u64, at: Position) -> Result<(), StoreError> {
        let mut both = self.lock();
        let is_at = |state: &T| state.position() == at;
        let is_due = both.rebuild.under_way() == Some(round) && is_at(&both.read);
        let made = both
            .made
            .take_if(|(made, state)| is_due && *made == round && is_at(state));
        let Some((_, made)) = made else {
            return Err(StoreError::Fenced);
        };
        both.read = made;
        both.rebuild.state = RebuildState::Done;
        Ok(())
    }

    fn tidy(&self) {
        let mut both = self.lock();
        let under_way = both.rebuild.under_way();
        both.made.take_if(|(made, _)| Some(*made) != under_way);
    }
}

/// A store that is there twice.
struct MemoryRebuilds<T, S: ?Sized> {
    twice: Twice<T>,
    open: Box<dyn Fn(Slot) -> Arc<S> + Send + Sync>,
}

#[async_trait]
impl<T: Stand, S: ?Sized + Send + Sync> Rebuilds for MemoryRebuilds<T, S> {
    async fn ask(&self) -> Result<Rebuild, StoreError> {
        Ok(self.twice.ask())
    }

    async fn last(&self) -> Result<Rebuild, StoreError> {
        Ok(self.twice.lock().rebuild.clone())
    }

    async fn give_up(&self, round: u64, reason: &str) -> Result<(), StoreError> {
        self.twice.give_up(round, reason);
        Ok(())
    }

    async fn progress(&self, round: u64) -> Result<(Position, Position), StoreError> {
        Ok(self.twice.progress(round))
    }
}

#[async_trait]
impl<T: Stand, S: ?Sized + Send + Sync> ShadowStores<S> for MemoryRebuilds<T, S> {
    async fn beside(&self, round: u64) -> Result<Arc<S>, StoreError> {
        self.twice.begin(round)?;
        Ok((self.open)(Slot::Shadow(round)))
    }

    async fn replace(&self, round: u64, at: Position) -> Result<(), StoreError> {
        self.twice.replace(round, at)
    }

    async fn tidy(&self) -> Result<bool, StoreError> {
        self.twice.tidy();
        Ok(false)
    }
}

impl MemorySource {
    /// Where it is made anew.
    #[must_use]
    pub fn rebuilds(&self) -> Arc<dyn ShadowStores<dyn SourceStore>> {
        let this = self.clone();
        Arc::new(MemoryRebuilds {
            twice: self.twice.clone(),
            open: Box::new(move |slot| {
                let source: Arc<dyn SourceStore> = Arc::new(MemorySource {
                    slot,
                    ..this.clone()
                });
                source
            }),
        })
    }
}

impl MemoryPresentation {
    /// Where it is made anew.
    #[must_use]
    pub fn rebuilds(&self) -> Arc<dyn ShadowStores<dyn PresentationStore>> {
        let twice = self.twice.clone();
        Arc::new(MemoryRebuilds {
            twice: twice.clone(),
            open: Box::new(move |slot| {
                let twice = twice.clone();
                let made: Arc<dyn PresentationStore> = Arc::new(MemoryPresentation { twice, slot });
                made
            }),
        })
    }
}
