//! low-stock: a process manager that notifies the buyers once each time a shipment takes a product
//! to the low-stock threshold.

use bakehouse_host::LOG_CHANNEL;
use bakehouse_host::engine::model::notification::Request;
use bakehouse_host::engine::to_json;
use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::Product;

/// Quantity at or below which a product is low on stock.
const LOW_STOCK_THRESHOLD: u64 = 5;

/// Process manager of low-stock notifications.
pub(crate) struct LowStock;

/// State for each product: its last known quantity.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct StockLevel {
    quantity: u64,
}

impl ProcessManager for LowStock {
    const NAME: &'static str = "low-stock";
    const FEEDS: &'static [&'static str] = &["product"];

    type State = StockLevel;

    fn needs(event: &FeedEvent) -> Needs {
        Needs::row(&event.entity_id)
    }

    fn react(
        event: &FeedEvent,
        levels: &mut Rows<StockLevel>,
    ) -> Result<Vec<Effect>, HandlerError> {
        let Some(Product { sku, quantity }) = event.document()? else {
            return Ok(Vec::new());
        };
        let before = levels.get(&sku).map_or(0, |level| level.quantity);
        levels.put(&sku, StockLevel { quantity });
        if event.change != "shipped"
            || before <= LOW_STOCK_THRESHOLD
            || quantity > LOW_STOCK_THRESHOLD
        {
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
    use bakehouse_testkit::feed_sources::{event, react};

    use super::*;

    #[test]
    fn only_shipments_that_reach_the_threshold_notify() {
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
        let mut events = Vec::new();
        for (position, (change, quantity, notifications)) in (1..).zip(steps) {
            let product = json!({ "sku": "nut", "quantity": quantity });
            events.push(event(
                position,
                &format!("product.{change}"),
                "nut",
                &product,
            ));
            let (state, effects) = react::<LowStock>(&events);
            assert_eq!(effects.len(), notifications, "{change} to {quantity}");
            assert_eq!(state["nut"], json!({ "quantity": quantity }));
        }
    }
}
