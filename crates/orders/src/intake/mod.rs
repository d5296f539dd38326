//! A request's body into a command: everything that is wrong with it is said at
//! once, each fault with where it is and what was expected there.

mod fault;
mod fields;
mod json;
mod order;
mod reason;
mod status;

pub use fault::{Fault, Faults};
pub use order::{amend, place};
pub use reason::reason;
pub use status::set_status;

use crate::money::Currency;

/// The most lines that an order may have.
pub const MOST_PRODUCTS: usize = 1_000;
/// The most of one product.
pub const MOST_OF_ONE: u32 = 1_000_000;

/// Why an operation is given up: characters at most.
pub const LONGEST_REASON: usize = 500;

/// What an order gets that does not say otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults {
    /// Of its prices.
    pub currency: Currency,
}
