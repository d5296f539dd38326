//! Authors' names in the read models of posts and comments: rows are updated when a name arrives
//! late, changes, or is deleted.

use bakehouse_host::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Part of a user's document that other services need.
#[derive(Deserialize)]
struct User {
    full_name: String,
}

/// Returns the key of an author's row, which is also the link of all rows by the author.
pub(crate) fn author_key(id: &str) -> String {
    format!("author:{id}")
}

/// Returns the rows that a user's event needs: the author's row and all rows by the author.
pub(crate) fn needs(event: &FeedEvent) -> Needs {
    let key = author_key(&event.entity_id);
    Needs::row(&key).and_linked(key)
}

/// Updates the author's name in all rows by the author, with `rename`, and stores it for rows that
/// arrive later, as the row that `author_row` returns.
///
/// # Errors
/// Returns an error if the event's document cannot be parsed.
pub(crate) fn update_author_name<R: Clone + Serialize + DeserializeOwned>(
    event: &FeedEvent,
    rows: &mut Rows<R>,
    rename: fn(R, Option<String>) -> R,
    author_row: fn(String) -> R,
) -> Result<(), HandlerError> {
    let key = author_key(&event.entity_id);
    let user = event
        .document::<User>()?
        .filter(|_| event.change != "deleted");
    let name = user.map(|user| user.full_name);
    for linked in rows.linked(&key) {
        if let Some(row) = rows.get(&linked).cloned() {
            rows.put(&linked, rename(row, name.clone()));
        }
    }
    match name {
        Some(name) => rows.put(&key, author_row(name)),
        None => rows.remove(&key),
    }
    Ok(())
}
