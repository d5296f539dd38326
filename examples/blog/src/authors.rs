//! Authors' names, as those who follow users have them: wherever a name stands, it is
//! made right when it comes late, changes, or goes.

use bakehouse_host::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a user's event tells.
#[derive(Deserialize)]
struct User {
    full_name: String,
}

/// What an author's row has as its key, and what is theirs as a link.
pub(crate) fn author(id: &str) -> String {
    format!("author:{id}")
}

/// What has to be seen of a user's event.
pub(crate) fn needs(fact: &FeedEvent) -> Needs {
    let author = author(&fact.entity_id);
    Needs::row(&author).and_linked(author)
}

/// Puts the name that a user's event tells into all rows that are theirs, by `renamed`, and
/// keeps it for those that come later, as the row that `known` makes of it.
pub(crate) fn repair<R: Clone + Serialize + DeserializeOwned>(
    fact: &FeedEvent,
    rows: &mut Rows<R>,
    renamed: fn(R, Option<String>) -> R,
    known: fn(String) -> R,
) -> Result<(), Failed> {
    let key = author(&fact.entity_id);
    let user = fact
        .document::<User>()?
        .filter(|_| fact.change != "deleted");
    let name = user.map(|user| user.full_name);
    for theirs in rows.linked(&key) {
        if let Some(row) = rows.get(&theirs).cloned() {
            rows.put(&theirs, renamed(row, name.clone()));
        }
    }
    match name {
        Some(name) => rows.put(&key, known(name)),
        None => rows.remove(&key),
    }
    Ok(())
}
