//! Parsing of request bodies to commands. All errors of a body are returned together, each with
//! its JSON pointer and the expected value.

mod fields;
mod order;
mod status;

pub use bakehouse_validation::{Fault, Faults, forbidden_character, is_blank};
pub use order::{amend, place};
pub use status::set_status;

use crate::money::Currency;

/// Maximum number of lines per order.
pub const MAX_PRODUCTS: usize = 1_000;
/// Maximum quantity of one product.
pub const MAX_QUANTITY: u32 = 1_000_000;

/// Default values of members that a body may omit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults {
    /// Currency of the prices.
    pub currency: Currency,
}
