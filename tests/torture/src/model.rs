//! What orders must be after the log: the rules once more, by somebody who has not seen
//! how they are kept.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::ledger::{Asked, Wish, euros};
use crate::log::Row;

/// What must come of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Executed: the frame's type, and the document after it.
    Changed(&'static str, Value),
    /// Refused.
    Rejected,
}

/// An order.
#[derive(Clone, Debug)]
struct Order {
    number: u64,
    owner: String,
    wish: Wish,
    status: String,
    is_deleted: bool,
    position: u64,
    version: u64,
    created: i64,
    updated: i64,
    timeline: Vec<Value>,
}

/// All orders.
#[derive(Default)]
pub struct Orders(HashMap<String, Order>);

impl Orders {
    /// What must come of what a client asked for, here in the log.
    pub fn execute(&mut self, event: &Row, asked: &Asked, subject: &str) -> Verdict {
        let number = self.0.len() as u64 + 1;
        let known = self.0.get_mut(&event.order);
        let (kind, entry, order) = match (known, asked) {
            (None, Asked::Place(wish)) => {
                let order = self.0.entry(event.order.clone()).or_insert(Order {
                    number,
                    owner: subject.to_owned(),
                    wish: wish.clone(),
                    status: "placed".into(),
                    is_deleted: false,
                    position: 0,
                    version: 0,
                    created: event.created,
                    updated: 0,
                    timeline: Vec::new(),
                });
                ("order.created", "order.created".to_owned(), order)
            }
            (Some(order), _) if order.is_deleted || order.owner != subject => {
                return Verdict::Rejected;
            }
            (Some(order), Asked::Amend(wish)) if order.status == "placed" => {
                order.wish = wish.clone();
                ("order.updated", "order.updated".to_owned(), order)
            }
            (Some(order), Asked::Status(next)) if may_become(&order.status, next) => {
                order.status.clone_from(next);
                ("order.status", format!("order.{next}"), order)
            }
            (Some(order), Asked::Delete) => {
                if may_become(&order.status, "cancelled") {
                    order.status = "cancelled".into();
                }
                order.is_deleted = true;
                ("order.deleted", "order.deleted".to_owned(), order)
            }
            _ => return Verdict::Rejected,
        };
        order.position = event.position;
        order.updated = event.created;
        order.version += 1;
        order.timeline.push(json!({
            "position": event.position, "type": entry, "at": time(event.created),
        }));
        Verdict::Changed(kind, order.document(&event.order))
    }

    /// Whose an order is.
    #[must_use]
    pub fn owner(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(|order| order.owner.as_str())
    }

    /// All of them, as they must be read now; and whether lists have them.
    pub fn documents(&self) -> impl Iterator<Item = (&str, Value, bool)> {
        self.0
            .iter()
            .map(|(id, order)| (id.as_str(), order.document(id), !order.is_deleted))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

fn may_become(status: &str, next: &str) -> bool {
    matches!(
        (status, next),
        ("placed", "paid" | "cancelled")
            | ("paid", "shipped" | "cancelled")
            | ("shipped", "delivered")
    )
}

impl Order {
    fn document(&self, id: &str) -> Value {
        let products = &self.wish.products;
        let line = |(name, cents, quantity): &(String, u64, u64)| {
            json!({
                "sku": null, "name": name, "quantity": quantity, "price": euros(*cents),
                "total": euros(cents * quantity),
            })
        };
        let total = products.iter().map(|(_, cents, quantity)| cents * quantity);
        let count: u64 = products.iter().map(|(_, _, quantity)| quantity).sum();
        json!({
            "id": id, "number": self.number, "status": self.status, "position": self.position,
            "version": self.version, "created_at": time(self.created),
            "updated_at": time(self.updated),
            "customer": { "id": self.wish.customer, "name": null, "email": null },
            "currency": "EUR", "products": products.iter().map(line).collect::<Vec<_>>(),
            "items_count": count, "total": euros(total.sum()), "reference": self.wish.reference,
            "timeline": self.timeline,
        })
    }
}

/// As the API writes points in time.
#[must_use]
pub fn time(millis: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
