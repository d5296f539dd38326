//! Reading what was baked: as it is, or as soon as it is as somebody wants it.

mod array;
mod arrival;
mod listing;
mod past;
mod rows;
mod show;
mod target;

pub use arrival::document;
pub use listing::Listing;
pub use past::{as_of, position_at};
pub use rows::{row, rows};
pub use show::{json, show};
pub use target::{find, may_be_on_its_way, no_such, to_change};
