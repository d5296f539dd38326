//! Reads of the presentation: documents, lists and rows, as they are or after a wait.

mod array;
mod as_of;
mod find;
mod get;
mod list;
mod load_for_change;
mod rows;
mod wait;

pub use as_of::{as_of, position_at};
pub use find::{entity_not_found, find, may_be_pending};
pub use get::{get, json};
pub use list::Listing;
pub use load_for_change::load_for_change;
pub use rows::{row, rows};
pub use wait::document;
