//! What orders must be after the log: the rules once more, by somebody who has not seen
//! how they are kept.

use std::collections::HashMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::ledger::{Asked, Entry, Sheet, Wish, euros};
use crate::log::Row;

/// What must come of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Executed: the frame's type, and the document after it.
    Changed(&'static str, Value),
    /// Refused, in these words, and with a code where kinds of refusals are told apart.
    Rejected(String, Option<&'static str>),
}

fn refused(reason: impl Into<String>) -> Verdict {
    Verdict::Rejected(reason.into(), None)
}

/// Verdict for anybody but the owner, to whom the order does not exist.
fn missing() -> Verdict {
    refused("there is no such order")
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
    files: Vec<File>,
}

/// A file of an order.
#[derive(Clone, Debug)]
pub struct File {
    /// Its identity.
    pub id: String,
    /// Description of the file.
    pub sheet: Sheet,
}

impl File {
    fn document(&self) -> Value {
        let bytes = self.sheet.bytes();
        let hash = Sha256::digest(&bytes);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "id": self.id, "name": self.sheet.name, "media_type": "text/plain",
            "size": bytes.len(), "sha256": hash,
        })
    }
}

/// All orders.
#[derive(Default)]
pub struct Orders(HashMap<String, Order>);

impl Orders {
    /// Verdict on what a client asked for, here in the log. The identity of a file is
    /// the store's to give, and told by the frame.
    pub fn execute(&mut self, event: &Row, entry: &Entry, frame: &Value) -> Verdict {
        let number = self.0.len() as u64 + 1;
        let (asked, subject) = (&entry.asked, &entry.subject);
        if let Some(refusal) = self.refusal(event, entry) {
            return refusal;
        }
        let known = self.0.get_mut(&event.order);
        let (kind, word, order) = match (known, asked) {
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
                    files: Vec::new(),
                });
                ("order.created", "order.created".to_owned(), order)
            }
            (None, _) => return missing(),
            (Some(_), Asked::Place(_)) => return refused("the order exists already"),
            (Some(order), Asked::Amend(wish)) => {
                order.wish = wish.clone();
                ("order.updated", "order.updated".to_owned(), order)
            }
            (Some(order), Asked::Status(next)) => {
                order.status.clone_from(next);
                ("order.status", format!("order.{next}"), order)
            }
            (Some(order), Asked::Attach(sheet)) => {
                let files = frame["order"]["attachments"].as_array();
                let told = files.and_then(|files| files.last()?["id"].as_str());
                let id = entry.file.as_deref().or(told);
                order.files.push(File {
                    id: id.unwrap_or_default().to_owned(),
                    sheet: sheet.clone(),
                });
                ("order.updated", "order.attached".to_owned(), order)
            }
            (Some(order), Asked::Delete) => {
                if may_become(&order.status, "cancelled") {
                    order.status = "cancelled".into();
                }
                order.is_deleted = true;
                ("order.deleted", "order.deleted".to_owned(), order)
            }
        };
        order.position = event.position;
        order.updated = event.created;
        order.version += 1;
        order.timeline.push(json!({
            "position": event.position, "type": word, "at": time(event.created),
        }));
        Verdict::Changed(kind, order.document(&event.order))
    }

    /// Refusal of a change to an order that is there, if it must be refused.
    fn refusal(&self, event: &Row, entry: &Entry) -> Option<Verdict> {
        let Some(order) = self.0.get(&event.order) else {
            return entry.expected.map(|_| missing());
        };
        if order.owner != entry.subject {
            return Some(missing());
        }
        if let Some(expected) = entry.expected.filter(|expected| *expected != order.version) {
            let reason = format!("the order is at version {}, not {expected}", order.version);
            return Some(Verdict::Rejected(reason, Some("version-conflict")));
        }
        let status = &order.status;
        match &entry.asked {
            Asked::Place(_) => None,
            _ if order.is_deleted => Some(refused("the order has been deleted")),
            Asked::Amend(_) if status != "placed" => Some(refused(format!(
                "the order is {status}; only a placed one can be changed"
            ))),
            Asked::Status(next) if !may_become(status, next) => Some(refused(format!(
                "the order is {status}; it cannot become {next}"
            ))),
            _ => None,
        }
    }

    /// All files, by order.
    pub fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.0
            .iter()
            .flat_map(|(id, order)| order.files.iter().map(move |file| (id.as_str(), file)))
    }

    /// Orders on the list of this status or customer, newest first.
    #[must_use]
    pub fn listed(&self, status: Option<&str>, customer: Option<&str>) -> Vec<String> {
        let is_meant = |(_, order): &(&String, &Order)| {
            !order.is_deleted
                && status.is_none_or(|status| order.status == status)
                && customer.is_none_or(|customer| order.wish.customer == customer)
        };
        let mut found: Vec<_> = self.0.iter().filter(is_meant).collect();
        found.sort_unstable_by_key(|(_, order)| std::cmp::Reverse(order.number));
        found.into_iter().map(|(id, _)| id.clone()).collect()
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
        let mut document = json!({
            "id": id, "number": self.number, "status": self.status, "position": self.position,
            "version": self.version, "created_at": time(self.created),
            "updated_at": time(self.updated),
            "customer": { "id": self.wish.customer, "name": null, "email": null },
            "currency": "EUR", "products": products.iter().map(line).collect::<Vec<_>>(),
            "items_count": count, "total": euros(total.sum()), "reference": self.wish.reference,
            "timeline": self.timeline,
        });
        if !self.files.is_empty() {
            document["attachments"] = self.files.iter().map(File::document).collect();
        }
        document
    }
}

/// As the API writes points in time.
#[must_use]
pub fn time(millis: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
