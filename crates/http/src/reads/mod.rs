//! Reading what was baked: as it is, or as soon as it is as somebody wants it.

mod array;
mod as_of;
mod get;
mod list;
mod load_for_change;
mod rows;
mod wait;

pub use as_of::{as_of, position_at};
pub use get::{json, show};
pub use list::Listing;
pub use load_for_change::{find, may_be_on_its_way, no_such, to_change};
pub use rows::{row, rows};
pub use wait::document;
