//! Rebuilds in memory: live and shadow state of a store.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bakehouse_engine::Position;
use bakehouse_engine::ports::{Rebuild, RebuildState, Rebuilds, ShadowStores, Slot, StoreError};

use crate::lock;

/// State of one slot of a store.
pub(crate) trait SlotState: Default + Send {
    /// Position up to which the log is processed.
    fn position(&self) -> Position;
}

/// Live and shadow state, and the last rebuild; clones share them.
pub(crate) struct Slots<T>(Arc<Mutex<Content<T>>>);

#[derive(Default)]
struct Content<T> {
    live: T,
    /// Id of the rebuild and its state.
    shadow: Option<(u64, T)>,
    rebuild: Rebuild,
}

impl<T> Clone for Slots<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Default> Default for Slots<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: SlotState> Slots<T> {
    /// Runs `work` with the state of a slot.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if the slot no longer exists; errors of `work`.
    pub(crate) fn with<R>(
        &self,
        slot: Slot,
        work: impl FnOnce(&mut T) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let mut content = self.lock();
        match (slot, &mut content.shadow) {
            (Slot::Live, _) => work(&mut content.live),
            (Slot::Shadow(rebuild_id), Some((id, state))) if *id == rebuild_id => work(state),
            (Slot::Shadow(_), _) => Err(StoreError::Fenced),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content<T>> {
        lock(&self.0)
    }

    fn request(&self) -> Rebuild {
        let mut content = self.lock();
        if content.rebuild.in_progress().is_none() {
            content.rebuild = Rebuild {
                rebuild_id: content.rebuild.rebuild_id + 1,
                state: RebuildState::InProgress,
                reason: None,
            };
        }
        content.rebuild.clone()
    }

    fn abandon(&self, rebuild_id: u64, reason: &str) {
        let mut content = self.lock();
        if content.rebuild.in_progress() == Some(rebuild_id) {
            content.rebuild.state = RebuildState::Abandoned;
            content.rebuild.reason = Some(reason.to_owned());
        }
    }

    fn progress(&self, rebuild_id: u64) -> (Position, Position) {
        let content = self.lock();
        let shadow = content.shadow.as_ref();
        let shadow = shadow.filter(|(id, _)| *id == rebuild_id);
        let position = shadow.map_or(0, |(_, state)| state.position());
        (position, content.live.position())
    }

    fn create_shadow(&self, rebuild_id: u64) -> Result<(), StoreError> {
        let mut content = self.lock();
        if content.rebuild.in_progress() != Some(rebuild_id) {
            return Err(StoreError::Fenced);
        }
        let shadow = content.shadow.as_ref();
        if shadow.is_none_or(|(id, _)| *id != rebuild_id) {
            content.shadow = Some((rebuild_id, T::default()));
        }
        Ok(())
    }

    fn swap(&self, rebuild_id: u64, at: Position) -> Result<(), StoreError> {
        let mut content = self.lock();
        let is_at = |state: &T| state.position() == at;
        let is_due = content.rebuild.in_progress() == Some(rebuild_id) && is_at(&content.live);
        let shadow = content
            .shadow
            .take_if(|(id, state)| is_due && *id == rebuild_id && is_at(state));
        let Some((_, shadow)) = shadow else {
            return Err(StoreError::Fenced);
        };
        content.live = shadow;
        content.rebuild.state = RebuildState::Done;
        Ok(())
    }

    fn remove_obsolete(&self) {
        let mut content = self.lock();
        let under_way = content.rebuild.in_progress();
        content.shadow.take_if(|(id, _)| Some(*id) != under_way);
    }
}

/// Rebuilds of one store.
pub(crate) struct MemoryRebuilds<T, S: ?Sized> {
    pub(crate) slots: Slots<T>,
    pub(crate) open: Box<dyn Fn(Slot) -> Arc<S> + Send + Sync>,
}

#[async_trait]
impl<T: SlotState, S: ?Sized + Send + Sync> Rebuilds for MemoryRebuilds<T, S> {
    async fn request(&self) -> Result<Rebuild, StoreError> {
        Ok(self.slots.request())
    }

    async fn last(&self) -> Result<Rebuild, StoreError> {
        Ok(self.slots.lock().rebuild.clone())
    }

    async fn abandon(&self, rebuild_id: u64, reason: &str) -> Result<(), StoreError> {
        self.slots.abandon(rebuild_id, reason);
        Ok(())
    }

    async fn progress(&self, rebuild_id: u64) -> Result<(Position, Position), StoreError> {
        Ok(self.slots.progress(rebuild_id))
    }
}

#[async_trait]
impl<T: SlotState, S: ?Sized + Send + Sync> ShadowStores<S> for MemoryRebuilds<T, S> {
    async fn shadow(&self, rebuild_id: u64) -> Result<Arc<S>, StoreError> {
        self.slots.create_shadow(rebuild_id)?;
        Ok((self.open)(Slot::Shadow(rebuild_id)))
    }

    async fn swap(&self, rebuild_id: u64, at: Position) -> Result<(), StoreError> {
        self.slots.swap(rebuild_id, at)
    }

    async fn remove_obsolete(&self) -> Result<bool, StoreError> {
        self.slots.remove_obsolete();
        Ok(false)
    }
}
