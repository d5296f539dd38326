//! Rows of read models and process managers in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bakehouse_engine::Notification;
use bakehouse_engine::Position;
use bakehouse_engine::handlers::{Generation, Needs};
use bakehouse_engine::ports::{
    Feed, HandlerCommit, Loaded, ModelState, Registration, RowPage, RowReader, RowStore, RowWrite,
    StoreError, StoredRow,
};

use crate::lock;

/// Rows of read models and process managers in memory; clones share them.
#[derive(Clone, Default)]
pub struct MemoryRows(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    models: BTreeMap<String, Registration>,
    rows: HashMap<Generation, BTreeMap<String, RowWrite>>,
    /// Epoch and position of each processed feed.
    feeds: HashMap<Generation, BTreeMap<String, (String, Position)>>,
    revisions: HashMap<Generation, u64>,
    notifications: Vec<Notification>,
}

impl MemoryRows {
    /// Returns the recorded notifications, each once.
    #[must_use]
    pub fn notifications(&self) -> Vec<Notification> {
        lock(&self.0).notifications.clone()
    }
}

#[async_trait]
impl RowStore for MemoryRows {
    async fn open(
        &self,
        generation: &Generation,
        feed: &Feed<'_>,
        start: Position,
    ) -> Result<Position, StoreError> {
        let mut state = lock(&self.0);
        let feeds = state.feeds.entry(generation.clone()).or_default();
        let initial = || (feed.epoch.to_owned(), start);
        let (epoch, position) = feeds.entry(feed.name.to_owned()).or_insert_with(initial);
        if epoch != feed.epoch {
            let text = format!("{generation} belongs to log {epoch}, not to {}", feed.epoch);
            return Err(StoreError::Corrupt(text));
        }
        Ok(*position)
    }

    async fn load(&self, generation: &Generation, needs: &Needs) -> Result<Loaded, StoreError> {
        let state = lock(&self.0);
        let is_needed = |row: &&RowWrite| {
            needs.keys.contains(&row.key) || row.links.iter().any(|link| needs.links.contains(link))
        };
        let rows = state
            .rows
            .get(generation)
            .into_iter()
            .flat_map(BTreeMap::values);
        Ok(Loaded {
            rows: rows.filter(is_needed).filter_map(stored_row).collect(),
            revision: state.revision(generation),
        })
    }

    async fn commit(&self, commit: &HandlerCommit) -> Result<(), StoreError> {
        let mut state = lock(&self.0);
        if state.revision(&commit.generation) != commit.revision {
            return Err(StoreError::Fenced);
        }
        let feeds = state.feeds.entry(commit.generation.clone()).or_default();
        match feeds.get_mut(&commit.feed) {
            Some((_, position)) if *position == commit.from => *position = commit.to,
            _ => return Err(StoreError::Fenced),
        }
        let next = commit.revision + 1;
        state.revisions.insert(commit.generation.clone(), next);
        let rows = state.rows.entry(commit.generation.clone()).or_default();
        for row in &commit.rows {
            rows.insert(row.key.clone(), row.clone());
        }
        for one in &commit.notifications {
            if !state.notifications.iter().any(|known| known.id == one.id) {
                state.notifications.push(one.clone());
            }
        }
        Ok(())
    }

    async fn register(&self, name: &str, version: u32) -> Result<Registration, StoreError> {
        let mut state = lock(&self.0);
        let wanted = Generation {
            name: name.to_owned(),
            version,
            round: 0,
        };
        let initial = || Registration {
            wanted: wanted.clone(),
            serving: None,
        };
        let known = state.models.entry(name.to_owned()).or_insert_with(initial);
        if known.wanted.version < version {
            known.wanted = wanted;
        }
        Ok(known.clone())
    }

    async fn promote(&self, generation: &Generation) -> Result<(), StoreError> {
        let mut state = lock(&self.0);
        let known = state.models.get_mut(&generation.name);
        let Some(known) = known.filter(|known| known.wanted == *generation) else {
            return Ok(());
        };
        known.serving = Some(generation.clone());
        let is_kept = |other: &Generation| other.name != generation.name || other == generation;
        state.rows.retain(|other, _| is_kept(other));
        state.feeds.retain(|other, _| is_kept(other));
        Ok(())
    }
}

#[async_trait]
impl RowReader for MemoryRows {
    async fn row(&self, name: &str, key: &str) -> Result<Option<StoredRow>, StoreError> {
        let state = lock(&self.0);
        let rows = state.served(name)?;
        Ok(rows.and_then(|rows| rows.get(key)).and_then(stored_row))
    }

    async fn rows(&self, name: &str, page: &RowPage<'_>) -> Result<Vec<StoredRow>, StoreError> {
        let state = lock(&self.0);
        let rows = state.served(name)?.into_iter().flat_map(BTreeMap::values);
        let is_selected = |row: &&RowWrite| {
            row.links.iter().any(|link| link == page.link)
                && page.after.is_none_or(|after| row.key.as_str() > after)
        };
        Ok(rows
            .filter(is_selected)
            .filter_map(stored_row)
            .take(page.limit)
            .collect())
    }

    async fn states(&self) -> Result<Vec<ModelState>, StoreError> {
        let state = lock(&self.0);
        let positions = |of: Option<&Generation>| {
            let feeds = of.and_then(|of| state.feeds.get(of)).into_iter().flatten();
            feeds
                .map(|(feed, (_, position))| (feed.clone(), *position))
                .collect()
        };
        let states = state.models.values().map(|registration| ModelState {
            served: positions(registration.serving.as_ref()),
            building: positions(registration.building()),
            registration: registration.clone(),
        });
        Ok(states.collect())
    }

    async fn rebuild(&self, name: &str) -> Result<Option<Generation>, StoreError> {
        let mut state = lock(&self.0);
        let known = state.models.get_mut(name);
        Ok(known.map(|known| {
            known.wanted.round += 1;
            known.wanted.clone()
        }))
    }
}

impl State {
    fn revision(&self, of: &Generation) -> u64 {
        self.revisions.get(of).copied().unwrap_or_default()
    }

    /// Returns the rows of the served generation; `None` if it has none.
    ///
    /// # Errors
    /// [`StoreError::NotYet`] if no generation is served yet.
    fn served(&self, name: &str) -> Result<Option<&BTreeMap<String, RowWrite>>, StoreError> {
        let known = self
            .models
            .get(name)
            .and_then(|known| known.serving.as_ref());
        let serving = known.ok_or_else(|| {
            StoreError::NotYet(format!("the read model {name:?} is still being built"))
        })?;
        Ok(self.rows.get(serving))
    }
}

fn stored_row(row: &RowWrite) -> Option<StoredRow> {
    row.body.clone().map(|body| StoredRow {
        key: row.key.clone(),
        body,
    })
}
