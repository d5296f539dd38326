//! A request's body into a command: everything that is wrong with it is said at
//! once, each fault with where it is and what was expected there.

mod fields;
mod order;
mod status;

pub use bakehouse_validation::{Fault, Faults, is_blank, unfit_character};
pub use order::{amend, place};
pub use status::set_status;

use crate::money::Currency;

/// The most lines that an order may have.
pub const MOST_PRODUCTS: usize = 1_000;
/// The most of one product.
pub const MOST_OF_ONE: u32 = 1_000_000;

/// What an order gets that does not say otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults {
    /// Of its prices.
    pub currency: Currency,
}
