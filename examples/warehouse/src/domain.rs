//! Domain of products in stock: its rules, without I/O.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

/// Domain of products in stock; a product's id is its SKU.
pub(crate) struct Warehouse;

/// Command. The first increase creates a product.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Adds this quantity to the stock.
    Increase(u64),
    /// Removes this quantity from the stock.
    Ship(u64),
}

/// Event, with the quantity.
pub(crate) enum Event {
    Increased(u64),
    Shipped(u64),
}

/// Document that the API returns.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Product {
    pub(crate) sku: String,
    pub(crate) quantity: u64,
}

impl Domain for Warehouse {
    const NAME: &'static str = "product";
    const SCHEMA_VERSION: u32 = 1;
    const CHANGES: &'static [&'static str] = &["increased", "shipped"];

    type Command = Command;
    type Event = Event;
    type State = u64;
    type Document = Product;

    fn verb(command: &Command) -> Verb {
        match command {
            Command::Increase(_) => Verb::Insert,
            Command::Ship(_) => Verb::Update,
        }
    }

    fn decide(on_hand: Option<&u64>, command: Command, _: Moment) -> Result<Event, Rejection> {
        let on_hand = on_hand.copied().unwrap_or_default();
        match command {
            Command::Increase(by)
                if on_hand.checked_add(by).is_none_or(|sum| sum > MAX_QUANTITY) =>
            {
                Err(Rejection::new("The quantity would exceed the maximum.")
                    .with_code("shelf-full"))
            }
            Command::Increase(by) => Ok(Event::Increased(by)),
            Command::Ship(by) if by > on_hand => {
                Err(Rejection::new("Insufficient quantity on hand.")
                    .with_code("insufficient-quantity"))
            }
            Command::Ship(by) => Ok(Event::Shipped(by)),
        }
    }

    fn apply(on_hand: Option<u64>, event: Event, _: Moment) -> u64 {
        let on_hand = on_hand.unwrap_or_default();
        match event {
            Event::Increased(by) => on_hand + by,
            Event::Shipped(by) => on_hand - by,
        }
    }

    fn bake(entity: &Entity<u64>) -> Product {
        Product {
            sku: entity.id.clone(),
            quantity: entity.state,
        }
    }

    fn change(event: &Event) -> &'static str {
        match event {
            Event::Increased(_) => "increased",
            Event::Shipped(_) => "shipped",
        }
    }
}

/// Maximum quantity of a product; every JSON parser represents it exactly.
pub(crate) const MAX_QUANTITY: u64 = 9_007_199_254_740_991;

#[cfg(test)]
mod tests {
    use bakehouse_testkit::scenario::{ENTITY, Scenario};
    use serde_json::json;

    use super::*;

    #[test]
    fn only_quantities_in_stock_can_be_shipped() {
        let stock = || Scenario::<Warehouse>::given([Command::Increase(3)]);
        stock()
            .when(Command::Ship(4))
            .then_refused("Insufficient quantity on hand.");
        stock()
            .when(Command::Ship(3))
            .then_changed("shipped")
            .then_document(&json!({ "sku": ENTITY, "quantity": 0 }));
        Scenario::<Warehouse>::given([])
            .when(Command::Ship(1))
            .then_refused("Insufficient quantity on hand.");
    }

    #[test]
    fn the_quantity_has_a_maximum() {
        Scenario::<Warehouse>::given([Command::Increase(MAX_QUANTITY)])
            .when(Command::Increase(1))
            .then_refused("The quantity would exceed the maximum.");
    }
}
