//! Rows that a handler has declared in its needs, with the changes made so far.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use crate::ports::Needs;
use crate::ports::{RowWrite, StoredRow};
use crate::{Json, to_json};

/// Function that returns the links of a row.
type LinksOf<R> = fn(&R) -> Vec<String>;

/// Loaded rows of a handler.
pub struct Rows<R> {
    slots: BTreeMap<String, Slot<R>>,
    by_link: HashMap<String, BTreeSet<String>>,
    links_of: LinksOf<R>,
    /// Rows that the current event has declared.
    needs: Needs,
    /// First row or link that was accessed without being declared.
    undeclared: Option<String>,
}

struct Slot<R> {
    row: Option<R>,
    is_stored: bool,
    is_changed: bool,
}

impl<R: Clone + Serialize + DeserializeOwned> Rows<R> {
    pub(super) fn load(
        stored: Vec<StoredRow>,
        links_of: LinksOf<R>,
    ) -> Result<Self, serde_json::Error> {
        let mut rows = Self {
            slots: BTreeMap::new(),
            by_link: HashMap::new(),
            links_of,
            needs: Needs::default(),
            undeclared: None,
        };
        for StoredRow { key, body } in stored {
            rows.set(key, Some(serde_json::from_str(body.get())?), true, false);
        }
        Ok(rows)
    }

    /// Returns the row of this key, if it exists.
    pub fn get(&mut self, key: &str) -> Option<&R> {
        self.check_declared(key);
        self.slots.get(key)?.row.as_ref()
    }

    /// Returns the row of this key, or the default if it does not exist.
    pub fn get_or_default(&mut self, key: &str) -> R
    where
        R: Default,
    {
        self.get(key).cloned().unwrap_or_default()
    }

    /// Inserts or replaces the row of this key.
    pub fn put(&mut self, key: &str, row: R) {
        self.check_declared(key);
        let is_stored = self.slots.get(key).is_some_and(|slot| slot.is_stored);
        self.set(key.to_owned(), Some(row), is_stored, true);
    }

    /// Removes the row of this key.
    pub fn remove(&mut self, key: &str) {
        self.check_declared(key);
        let is_stored = self.slots.get(key).is_some_and(|slot| slot.is_stored);
        self.set(key.to_owned(), None, is_stored, true);
    }

    /// Returns the keys of the rows that currently have this link, in order.
    pub fn linked(&mut self, link: &str) -> Vec<String> {
        if !self.needs.links.contains(link) {
            self.undeclared
                .get_or_insert_with(|| format!("link {link:?}"));
        }
        let keys = self.by_link.get(link);
        keys.map_or_else(Vec::new, |keys| keys.iter().cloned().collect())
    }

    fn check_declared(&mut self, key: &str) {
        let is_linked = || {
            let mut links = self.needs.links.iter();
            links.any(|link| {
                self.by_link
                    .get(link)
                    .is_some_and(|keys| keys.contains(key))
            })
        };
        if !self.needs.keys.contains(key) && !is_linked() {
            self.undeclared
                .get_or_insert_with(|| format!("row {key:?}"));
        }
    }

    fn set(&mut self, key: String, row: Option<R>, is_stored: bool, is_changed: bool) {
        let links_of = self.links_of;
        let links = |row: Option<&R>| -> HashSet<String> {
            row.map(|row| links_of(row).into_iter().collect())
                .unwrap_or_default()
        };
        let before = links(self.slots.get(&key).and_then(|slot| slot.row.as_ref()));
        let after = links(row.as_ref());
        for link in before.difference(&after) {
            if let Some(keys) = self.by_link.get_mut(link) {
                keys.remove(&key);
            }
        }
        for link in after {
            self.by_link.entry(link).or_default().insert(key.clone());
        }
        let slot = Slot {
            row,
            is_stored,
            is_changed,
        };
        self.slots.insert(key, slot);
    }

    /// Sets the declared rows before an event is handled.
    pub(super) fn start_event(&mut self, needs: Needs) {
        self.needs = needs;
    }

    /// Returns the first undeclared access of the event, if any.
    pub(super) fn take_undeclared(&mut self) -> Option<String> {
        self.undeclared.take()
    }

    /// Returns the rows that differ from the store.
    pub(super) fn writes(self) -> Result<Vec<RowWrite>, serde_json::Error> {
        let mut writes = Vec::new();
        for (key, slot) in self.slots {
            if !slot.is_changed || (slot.row.is_none() && !slot.is_stored) {
                continue;
            }
            let row = slot.row.as_ref();
            let mut links = row.map(self.links_of).unwrap_or_default();
            links.sort_unstable();
            links.dedup();
            let body: Option<Json> = row.map(to_json).transpose()?;
            writes.push(RowWrite { key, links, body });
        }
        Ok(writes)
    }
}
