//! low-stock: tells once each time a shipment leaves few of a product.

use bakehouse_host::LOG_CHANNEL;
use bakehouse_host::engine::model::notification::Request;
use bakehouse_host::engine::to_json;
use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::Product;

/// That many, or fewer, are few.
const FEW: u64 = 5;

/// The process.
pub(crate) struct LowStock;

/// What it remembers of a product: how many there were.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Seen {
    quantity: u64,
}

impl ProcessManager for LowStock {
    const NAME: &'static str = "low-stock";
    const FEEDS: &'static [&'static str] = &["product"];

    type State = Seen;

    fn needs(fact: &FeedEvent) -> Needs {
        Needs::row(&fact.entity_id)
    }

    fn react(fact: &FeedEvent, seen: &mut Rows<Seen>) -> Result<Vec<Effect>, Failed> {
        let Some(Product { sku, quantity }) = fact.document()? else {
            return Ok(Vec::new());
        };
        let before = seen.get(&sku).map_or(0, |seen| seen.quantity);
        seen.put(&sku, Seen { quantity });
        if fact.change != "shipped" || before <= FEW || quantity > FEW {
            return Ok(Vec::new());
        }
        let request = Request {
            lane: LOG_CHANNEL.to_owned(),
            channel: "log",
            to: "the buyers".to_owned(),
            message: to_json(&json!({ "sku": sku, "quantity": quantity }))?,
        };
        Ok(vec![Effect::Notify(request)])
    }
}

#[cfg(test)]
mod tests {
    use bakehouse_testkit::feed_sources::{fact, react};

    use super::*;

    #[test]
    fn it_tells_of_crossings_by_shipment_alone() {
        let steps = [
            ("increased", 5, 0),
            ("shipped", 4, 0),
            ("increased", 7, 0),
            ("shipped", 6, 0),
            ("shipped", 5, 1),
            ("shipped", 4, 1),
            ("increased", 9, 1),
            ("shipped", 0, 2),
        ];
        let mut facts = Vec::new();
        for (position, (change, quantity, told)) in (1..).zip(steps) {
            let product = json!({ "sku": "nut", "quantity": quantity });
            facts.push(fact(
                position,
                &format!("product.{change}"),
                "nut",
                &product,
            ));
            let (state, effects) = react::<LowStock>(&facts);
            assert_eq!(effects.len(), told, "{change} to {quantity}");
            assert_eq!(state["nut"], json!({ "quantity": quantity }));
        }
    }
}
