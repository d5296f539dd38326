//! The presentation in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bakehouse_pipeline::ports::{
    Baking, DocumentWrite, Head, ListQuery, PresentationReader, PresentationStore, StoreError,
    StoredDocument,
};
use bakehouse_pipeline::{Frame, Position};

use crate::lock;

/// The presentation in memory; clones share it.
#[derive(Clone, Default)]
pub struct MemoryPresentation {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    epoch: Option<String>,
    /// By number.
    documents: BTreeMap<u64, DocumentWrite>,
    frames: Vec<Frame>,
}

#[async_trait]
impl PresentationStore for MemoryPresentation {
    async fn open(&self, epoch: &str) -> Result<Position, StoreError> {
        let mut state = lock(&self.state);
        let tied = state.epoch.get_or_insert_with(|| epoch.to_owned());
        if tied != epoch {
            return Err(StoreError::Corrupt(format!(
                "the presentation belongs to log {tied}, not {epoch}"
            )));
        }
        Ok(state.frames.len() as Position)
    }

    async fn commit(&self, baking: &Baking) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        if state.frames.len() as Position != baking.from {
            return Err(StoreError::Fenced);
        }
        if baking
            .documents
            .iter()
            .any(|document| state.is_past(document))
        {
            return Err(StoreError::Fenced);
        }
        for document in &baking.documents {
            state.documents.insert(document.number, document.clone());
        }
        state.frames.extend(baking.frames.iter().cloned());
        Ok(())
    }
}

#[async_trait]
impl PresentationReader for MemoryPresentation {
    async fn document(&self, id: &str) -> Result<Option<StoredDocument>, StoreError> {
        let state = lock(&self.state);
        Ok(state
            .documents
            .values()
            .find(|document| document.id == id)
            .map(stored))
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<StoredDocument>, StoreError> {
        let state = lock(&self.state);
        let below = state.documents.range(..query.before.unwrap_or(u64::MAX));
        let listed = below
            .rev()
            .map(|(_, document)| document)
            .filter(|document| document.listed);
        Ok(listed.take(query.limit).map(stored).collect())
    }

    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError> {
        let start = usize::try_from(after).unwrap_or(usize::MAX);
        let state = lock(&self.state);
        Ok(state
            .frames
            .iter()
            .skip(start)
            .take(limit)
            .cloned()
            .collect())
    }

    async fn head(&self) -> Result<Head, StoreError> {
        let state = lock(&self.state);
        let epoch = state.epoch.clone();
        let epoch = epoch.ok_or_else(|| StoreError::unavailable("nothing has been baked yet"))?;
        let position = state.frames.len() as Position;
        Ok(Head { epoch, position })
    }
}

impl State {
    /// Whether the document stored is as new as this one, or newer.
    fn is_past(&self, document: &DocumentWrite) -> bool {
        let stored = self.documents.get(&document.number);
        stored.is_some_and(|stored| stored.position >= document.position)
    }
}

fn stored(document: &DocumentWrite) -> StoredDocument {
    StoredDocument {
        number: document.number,
        position: document.position,
        body: document.body.clone(),
    }
}
