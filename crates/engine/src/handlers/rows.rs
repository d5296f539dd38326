//! Rows between two facts: those that a handler asked to see, as they are now.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ports::{RowWrite, StoredRow};
use crate::{Json, to_json};

/// Which rows a handler has to see: by key, and by what they are linked to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Rows of these keys, whether they are there or not.
    pub keys: BTreeSet<String>,
    /// All rows that carry one of these links.
    pub links: BTreeSet<String>,
}

impl Needs {
    /// None at all: the fact is not for this handler.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// The row of this key.
    #[must_use]
    pub fn row(key: impl Into<String>) -> Self {
        Self::default().and_row(key)
    }

    /// And the row of this key.
    #[must_use]
    pub fn and_row(mut self, key: impl Into<String>) -> Self {
        self.keys.insert(key.into());
        self
    }

    /// And all rows with this link.
    #[must_use]
    pub fn and_linked(mut self, link: impl Into<String>) -> Self {
        self.links.insert(link.into());
        self
    }

    /// Whether that is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.links.is_empty()
    }

    pub(super) fn add(&mut self, other: Self) {
        self.keys.extend(other.keys);
        self.links.extend(other.links);
    }
}

/// What a row is found by beside its key.
type LinksOf<R> = fn(&R) -> Vec<String>;

/// The rows at hand.
pub struct Rows<R> {
    slots: BTreeMap<String, Slot<R>>,
    by_link: HashMap<String, BTreeSet<String>>,
    links_of: LinksOf<R>,
    /// What the fact at hand asked for.
    needs: Needs,
    /// The first row that was touched without having been asked for.
    fault: Option<String>,
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
            fault: None,
        };
        for StoredRow { key, body } in stored {
            rows.place(key, Some(serde_json::from_str(body.get())?), true, false);
        }
        Ok(rows)
    }

    /// The row of this key, if there is one.
    pub fn get(&mut self, key: &str) -> Option<&R> {
        self.note(key);
        self.slots.get(key)?.row.as_ref()
    }

    /// The row of this key, or a fresh one.
    pub fn get_or_default(&mut self, key: &str) -> R
    where
        R: Default,
    {
        self.get(key).cloned().unwrap_or_default()
    }

    /// Puts a row in the place of whatever there was.
    pub fn put(&mut self, key: &str, row: R) {
        self.note(key);
        let is_stored = self.slots.get(key).is_some_and(|slot| slot.is_stored);
        self.place(key.to_owned(), Some(row), is_stored, true);
    }

    /// There is no such row any more.
    pub fn remove(&mut self, key: &str) {
        self.note(key);
        let is_stored = self.slots.get(key).is_some_and(|slot| slot.is_stored);
        self.place(key.to_owned(), None, is_stored, true);
    }

    /// The keys of the rows that carry this link now, in order.
    pub fn linked(&mut self, link: &str) -> Vec<String> {
        if !self.needs.links.contains(link) {
            self.fault.get_or_insert_with(|| format!("link {link:?}"));
        }
        let keys = self.by_link.get(link);
        keys.map_or_else(Vec::new, |keys| keys.iter().cloned().collect())
    }

    fn note(&mut self, key: &str) {
        let is_linked = || {
            let mut links = self.needs.links.iter();
            links.any(|link| {
                self.by_link
                    .get(link)
                    .is_some_and(|keys| keys.contains(key))
            })
        };
        if !self.needs.keys.contains(key) && !is_linked() {
            self.fault.get_or_insert_with(|| format!("row {key:?}"));
        }
    }

    fn place(&mut self, key: String, row: Option<R>, is_stored: bool, is_changed: bool) {
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

    /// Before a fact is handled that asked for these.
    pub(super) fn begin(&mut self, needs: Needs) {
        self.needs = needs;
    }

    /// After it: what it touched without having asked for it.
    pub(super) fn fault(&mut self) -> Option<String> {
        self.fault.take()
    }

    /// What differs from the store.
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
