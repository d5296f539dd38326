//! Cursors: where the next page of a list begins. Opaque to clients, and good
//! for the list that they come from alone: with other filters or another order
//! they would leave documents out without anybody noticing.

use std::fmt;

use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{DocumentKey, ListQuery};

/// A place in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    past: u64,
    list: String,
}

impl Cursor {
    /// Just after a document of the list.
    pub(super) fn after(query: &ListQuery, last: DocumentKey) -> Self {
        Self {
            past: query.sort.value(last),
            list: list(query),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once('-');
        let parsed = parts.and_then(|(past, list)| {
            let past = u64::from_str_radix(past, 16).ok()?;
            let list = list.to_owned();
            Some(Self { past, list })
        });
        parsed.ok_or_else(|| "expected a cursor as given in a Link header".to_owned())
    }

    /// The key that the page begins after.
    ///
    /// # Errors
    /// When the cursor comes from another list.
    pub(super) fn past(&self, query: &ListQuery) -> Result<u64, String> {
        if self.list == list(query) {
            return Ok(self.past);
        }
        Err("belongs to a list with other filters or another sort".to_owned())
    }
}

/// What makes a list, whatever the page.
fn list(query: &ListQuery) -> String {
    let facets = query
        .facets
        .iter()
        .map(|(facet, value)| (facet.name, value));
    let facets: Vec<_> = facets.collect();
    let (sort, owner) = (query.sort, &query.owner);
    let (after, before) = (query.created_after, query.created_before);
    let text = format!("{sort:?} {owner:?} {facets:?} {after:?} {before:?}");
    ids::fingerprint(&[&text])[..16].to_owned()
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:x}-{}", self.past, self.list)
    }
}
