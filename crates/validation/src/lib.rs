//! Request bodies into commands: everything that is wrong with one is said at
//! once, each fault with where it is and what was expected there. Pure.
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

pub use characters::{is_blank, unfit_character};
pub use decimal::ExactDecimal;
pub use fault::{Collector, Fault, Faults};
pub use fields::{one_of, text, time, whole_number};
pub use json::{MAX_DEPTH, Members, Place, canonical};

/// Reads a body that is an object with members of these names at most.
///
/// # Errors
/// [`Faults`]: all of them.
pub fn read<T>(
    body: &[u8],
    known: &[&str],
    fields: impl FnOnce(&mut Members<'_>, &mut Collector) -> Option<T>,
) -> Result<T, Faults> {
    let root = Place::root(body).map_err(Faults::Syntax)?;
    let mut faults = Collector::default();
    let value = root.members(&mut faults).and_then(|mut members| {
        let value = fields(&mut members, &mut faults);
        members.finish(known, &mut faults);
        value
    });
    faults.finish(value)
}
