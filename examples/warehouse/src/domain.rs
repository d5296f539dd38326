//! What a product on the shelf is: the rules, without any I/O.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

/// The domain; a product's id is its SKU.
pub(crate) struct Warehouse;

/// What one can ask for. A product is there from its first increase on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// So many more.
    Increase(u64),
    /// So many are sent away.
    Ship(u64),
}

/// What happened.
pub(crate) enum Event {
    Increased(u64),
    Shipped(u64),
}

/// What readers get.
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
            Command::Increase(by) if on_hand.checked_add(by).is_none_or(|sum| sum > MOST) => {
                Err(Rejection::new("The shelf holds no more than that.").of_kind("shelf-full"))
            }
            Command::Increase(by) => Ok(Event::Increased(by)),
            Command::Ship(by) if by > on_hand => {
                Err(Rejection::new("Insufficient quantity on hand.")
                    .of_kind("insufficient-quantity"))
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

/// The most of one product; every reader of JSON has it exactly.
pub(crate) const MOST: u64 = 9_007_199_254_740_991;

#[cfg(test)]
mod tests {
    use bakehouse_testkit::scenario::{ENTITY, Scenario};
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_there_cannot_be_shipped() {
        let shelf = || Scenario::<Warehouse>::given([Command::Increase(3)]);
        shelf()
            .when(Command::Ship(4))
            .then_refused("Insufficient quantity on hand.");
        shelf()
            .when(Command::Ship(3))
            .then_changed("shipped")
            .then_document(&json!({ "sku": ENTITY, "quantity": 0 }));
        Scenario::<Warehouse>::given([])
            .when(Command::Ship(1))
            .then_refused("Insufficient quantity on hand.");
    }

    #[test]
    fn a_shelf_has_an_end() {
        Scenario::<Warehouse>::given([Command::Increase(MOST)])
            .when(Command::Increase(1))
            .then_refused("The shelf holds no more than that.");
    }
}
