//! Validation of JSON request bodies. All errors of a body are collected and returned together,
//! each with its JSON pointer and the expected value. Pure: no I/O.
//!
//! ```
//! use bakehouse_validation::{read, text};
//!
//! let name = |body: &str| {
//!     read(body.as_bytes(), &["name"], |members, faults| {
//!         let name = members.require("name", faults)?;
//!         text(&name, 20, faults)
//!     })
//! };
//! assert_eq!(name(r#"{"name":"Tea"}"#), Ok("Tea".to_owned()));
//! assert!(name(r#"{"name":"Tea","nmae":"Tee"}"#).is_err());
//! ```

mod characters;
mod decimal;
mod fault;
mod fields;
mod json;
mod syntax;

pub use characters::{forbidden_character, is_blank};
pub use decimal::ExactDecimal;
pub use fault::{ErrorCollector, Fault, Faults};
pub use fields::{one_of, text, time, whole_number};
pub use json::{JsonNode, MAX_DEPTH, Members, canonical};

/// Reads a body that must be an object whose members are all among `known`.
///
/// # Errors
/// [`Faults::Syntax`] if the body is not JSON, [`Faults::Content`] with all errors otherwise.
pub fn read<T>(
    body: &[u8],
    known: &[&str],
    fields: impl FnOnce(&mut Members<'_>, &mut ErrorCollector) -> Option<T>,
) -> Result<T, Faults> {
    let root = JsonNode::root(body).map_err(Faults::Syntax)?;
    let mut faults = ErrorCollector::default();
    let value = root.members(&mut faults).and_then(|mut members| {
        let value = fields(&mut members, &mut faults);
        members.finish(known, &mut faults);
        value
    });
    faults.finish(value)
}
