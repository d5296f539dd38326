//! Parts of a request: body, query string, path, preconditions and preferences.

pub mod body;
pub mod conditional;
pub mod path_id;
pub mod prefer;
pub mod query;
