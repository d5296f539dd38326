//! Cursor: start of the next page of a list. It is opaque to clients and valid only for the list
//! that it comes from, since with other filters or another sort order it would skip documents.

use std::fmt;

use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{DocumentKey, ListQuery};

/// Position in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Sort key of the last document before the page.
    past: u64,
    /// Fingerprint of the list's filters and sort order.
    list: String,
}

impl Cursor {
    /// Creates the cursor of the page that follows a document of the list.
    pub(super) fn after(query: &ListQuery, last: DocumentKey) -> Self {
        Self {
            past: query.sort.value(last),
            list: list_fingerprint(query),
        }
    }

    /// Parses a cursor from a query parameter; the error is a text for the client.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once('-');
        let parsed = parts.and_then(|(past, list)| {
            let past = u64::from_str_radix(past, 16).ok()?;
            let list = list.to_owned();
            Some(Self { past, list })
        });
        parsed.ok_or_else(|| "expected a cursor as given in a Link header".to_owned())
    }

    /// Returns the sort key after which the page begins.
    ///
    /// # Errors
    /// Returns a text for the client if the cursor comes from another list.
    pub(super) fn past(&self, query: &ListQuery) -> Result<u64, String> {
        if self.list == list_fingerprint(query) {
            return Ok(self.past);
        }
        Err("belongs to a list with other filters or another sort order".to_owned())
    }
}

/// Returns the fingerprint of a list's filters and sort order.
fn list_fingerprint(query: &ListQuery) -> String {
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
