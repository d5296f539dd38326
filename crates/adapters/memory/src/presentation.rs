//! The presentation in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bakehouse_pipeline::ports::{
    Baking, DocumentWrite, Head, ListQuery, PresentationReader, PresentationStore, StoreError,
    StoredDocument,
};
use bakehouse_pipeline::{Facet, Frame, Position};

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
        let mut found: Vec<StoredDocument> = {
            let state = lock(&self.state);
            let wanted = state.documents.values().filter(|one| fits(query, one));
            wanted.map(stored).collect()
        };
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

fn fits(query: &ListQuery, document: &DocumentWrite) -> bool {
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
