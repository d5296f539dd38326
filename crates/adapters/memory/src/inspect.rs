//! Reads of an audit in memory.

use std::collections::HashMap;
use std::ops::Bound;

use async_trait::async_trait;
use bakehouse_engine::ports::{
    DocumentRecord, EventLog, Head, Page, PresentationInspector, SourceInspector, StoreError,
};
use bakehouse_engine::{EntityRecord, Notification, Position};

use crate::{MemoryNotifications, MemoryPresentation, MemorySource};

/// Source state and notifications in memory, as an audit reads them.
#[derive(Clone)]
pub struct MemorySourceInspector {
    /// The source state.
    pub source: MemorySource,
    /// The notifications.
    pub notifications: MemoryNotifications,
}

#[async_trait]
impl SourceInspector for MemorySourceInspector {
    async fn entities(&self, after: &str, limit: usize) -> Result<Page<Position>, StoreError> {
        self.source.read(|state| {
            let mut all: Page<Position> = state
                .entities
                .values()
                .filter(|record| record.id.as_str() > after)
                .map(|record| (record.id.clone(), Ok(record.position)))
                .collect();
            all.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            all.truncate(limit);
            Ok(all)
        })
    }

    async fn without_entry(
        &self,
        entities: &[(&str, Position)],
    ) -> Result<Vec<String>, StoreError> {
        let mut unfounded = Vec::new();
        for (id, position) in entities {
            let before = position.saturating_sub(1);
            let found = self.source.log.history(id, before, *position).await?;
            if found.is_empty() {
                unfounded.push((*id).to_owned());
            }
        }
        Ok(unfounded)
    }

    async fn snapshots(
        &self,
        after: (&str, Position),
        limit: usize,
    ) -> Result<Page<EntityRecord>, StoreError> {
        let after = (after.0.to_owned(), after.1);
        self.source.read(|state| {
            let all = state
                .snapshots
                .range((Bound::Excluded(after), Bound::Unbounded));
            let all = all.map(|((id, _), record)| (id.clone(), Ok(record.clone())));
            Ok(all.take(limit).collect())
        })
    }

    async fn notifications(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Page<Notification>, StoreError> {
        let mut all = self.notifications.all();
        all.retain(|(id, _)| id.as_str() > after);
        all.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        all.truncate(limit);
        Ok(all.into_iter().map(|(id, one)| (id, Ok(one))).collect())
    }

    async fn notified(&self) -> Result<Option<Head>, StoreError> {
        Ok(self.notifications.head())
    }
}

#[async_trait]
impl PresentationInspector for MemoryPresentation {
    async fn documents(
        &self,
        ids: &[&str],
    ) -> Result<HashMap<String, Result<DocumentRecord, String>>, StoreError> {
        self.read(|state| {
            let found = state.documents.values();
            let found = found.filter(|document| ids.contains(&document.id.as_str()));
            let record = found.map(|document| {
                let record = DocumentRecord {
                    number: document.number,
                    position: document.position,
                    version: document.version,
                    created_at: document.created_at,
                    owner: document.owner.clone(),
                    listed: document.listed,
                    body: document.body.clone(),
                };
                (document.id.clone(), Ok(record))
            });
            Ok(record.collect())
        })
    }

    async fn document_ids(&self, after: &str, limit: usize) -> Result<Page<Position>, StoreError> {
        self.read(|state| {
            let all = state.documents.values();
            let all = all.filter(|document| document.id.as_str() > after);
            let mut all: Page<Position> = all
                .map(|document| (document.id.clone(), Ok(document.position)))
                .collect();
            all.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            all.truncate(limit);
            Ok(all)
        })
    }
}
