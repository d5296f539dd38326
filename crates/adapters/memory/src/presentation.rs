//! Presentation in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::ports::{
    Baking, DocumentKey, DocumentWrite, Head, ListQuery, PresentationReader, PresentationStore,
    ShadowStores, Slot, StoreError, StoredDocument,
};
use bakehouse_engine::{Facet, Frame, Position};

use crate::rebuilds::{MemoryRebuilds, SlotState, Slots};

/// Presentation in memory; clones share it.
#[derive(Clone, Default)]
pub struct MemoryPresentation {
    pub(crate) slots: Slots<State>,
    pub(crate) slot: Slot,
}

#[derive(Default)]
pub(crate) struct State {
    epoch: Option<String>,
    /// Documents by number.
    pub(crate) documents: BTreeMap<u64, DocumentWrite>,
    frames: Vec<Frame>,
}

#[async_trait]
impl PresentationStore for MemoryPresentation {
    async fn open(&self, epoch: &str) -> Result<Position, StoreError> {
        self.slots.with(self.slot, |state| {
            let bound = state.epoch.get_or_insert_with(|| epoch.to_owned());
            if bound != epoch {
                return Err(StoreError::Corrupt(format!(
                    "the presentation belongs to log {bound}, not {epoch}"
                )));
            }
            Ok(state.position())
        })
    }

    async fn commit(&self, baking: &Baking) -> Result<(), StoreError> {
        self.slots.with(self.slot, |state| state.commit(baking))
    }
}

#[async_trait]
impl PresentationReader for MemoryPresentation {
    async fn document(&self, id: &str) -> Result<Option<StoredDocument>, StoreError> {
        self.read(|state| {
            let mut documents = state.documents.values();
            Ok(documents.find(|document| document.id == id).map(stored))
        })
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<StoredDocument>, StoreError> {
        let mut found: Vec<StoredDocument> = self.read(|state| {
            let wanted = state.documents.values().filter(|one| matches(query, one));
            Ok(wanted.map(stored).collect())
        })?;
        let sort = query.sort;
        found.sort_unstable_by_key(|document| sort.key(document));
        if sort.descending {
            found.reverse();
        }
        let is_past = |document: &StoredDocument| {
            query.past.is_none_or(|past| match sort.descending {
                true => sort.key(document) < past,
                false => sort.key(document) > past,
            })
        };
        Ok(found
            .into_iter()
            .filter(is_past)
            .take(query.limit)
            .collect())
    }

    async fn list_keys(&self, query: &ListQuery) -> Result<Vec<DocumentKey>, StoreError> {
        let found = self.list(query).await?;
        Ok(found.iter().map(DocumentKey::from).collect())
    }

    async fn documents(&self, numbers: &[u64]) -> Result<Vec<StoredDocument>, StoreError> {
        self.read(|state| {
            let found = numbers.iter().filter_map(|one| state.documents.get(one));
            Ok(found.filter(|one| one.listed).map(stored).collect())
        })
    }

    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError> {
        let start = usize::try_from(after).unwrap_or(usize::MAX);
        self.read(|state| {
            let frames = state.frames.iter().skip(start).take(limit);
            Ok(frames.cloned().collect())
        })
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.read(|state| {
            let epoch = state.epoch.clone();
            let epoch =
                epoch.ok_or_else(|| StoreError::NotYet("nothing has been baked yet".into()))?;
            let position = state.position();
            Ok(Head { epoch, position })
        })
    }
}

impl MemoryPresentation {
    /// Returns the rebuilds of the presentation.
    #[must_use]
    pub fn rebuilds(&self) -> Arc<dyn ShadowStores<dyn PresentationStore>> {
        let slots = self.slots.clone();
        Arc::new(MemoryRebuilds {
            slots: slots.clone(),
            open: Box::new(move |slot| {
                let slots = slots.clone();
                let presentation: Arc<dyn PresentationStore> =
                    Arc::new(MemoryPresentation { slots, slot });
                presentation
            }),
        })
    }

    pub(crate) fn read<R>(
        &self,
        work: impl FnOnce(&mut State) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.slots.with(Slot::Live, work)
    }
}

impl SlotState for State {
    fn position(&self) -> Position {
        self.frames.len() as Position
    }
}

impl State {
    fn commit(&mut self, baking: &Baking) -> Result<(), StoreError> {
        let is_outdated = |document| self.is_outdated(document);
        if self.position() != baking.from || baking.documents.iter().any(is_outdated) {
            return Err(StoreError::Fenced);
        }
        for document in &baking.documents {
            self.documents.insert(document.number, document.clone());
        }
        self.frames.extend(baking.frames.iter().cloned());
        Ok(())
    }

    /// Checks whether the stored document is as new as this one, or newer.
    fn is_outdated(&self, document: &DocumentWrite) -> bool {
        let stored = self.documents.get(&document.number);
        stored.is_some_and(|stored| stored.position >= document.position)
    }
}

fn matches(query: &ListQuery, document: &DocumentWrite) -> bool {
    let body: serde_json::Value = serde_json::from_str(document.body.get()).unwrap_or_default();
    let has = |(facet, wanted): &(Facet, String)| {
        let pointer = format!("/{}", facet.member.replace('.', "/"));
        body.pointer(&pointer).and_then(|value| value.as_str()) == Some(wanted)
    };
    document.listed
        && (query.owner.is_none() || query.owner == document.owner)
        && query
            .created_after
            .is_none_or(|time| document.created_at > time)
        && query
            .created_before
            .is_none_or(|time| document.created_at < time)
        && query.facets.iter().all(has)
}

fn stored(document: &DocumentWrite) -> StoredDocument {
    StoredDocument {
        number: document.number,
        position: document.position,
        version: document.version,
        owner: document.owner.clone(),
        body: document.body.clone(),
    }
}
