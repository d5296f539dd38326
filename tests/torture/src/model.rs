//! Model of the rules of orders, written independently of the implementation.

use std::collections::HashMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::ledger::{Entry, OrderDraft, Request, TestFile, euros};
use crate::log::Row;

/// Expected result of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Executed: type of the frame, and the document afterwards.
    Changed(&'static str, Value),
    /// Rejected: the reason, and its code if it has one.
    Rejected(String, Option<&'static str>),
}

fn refused(reason: impl Into<String>) -> Verdict {
    Verdict::Rejected(reason.into(), None)
}

/// Verdict for a missing order, and for clients that do not own the order.
fn missing() -> Verdict {
    refused("there is no such order")
}

/// State of an order.
#[derive(Clone, Debug)]
struct Order {
    number: u64,
    owner: String,
    draft: OrderDraft,
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
    /// File id.
    pub id: String,
    /// Name and content.
    pub test_file: TestFile,
}

impl File {
    fn document(&self) -> Value {
        let bytes = self.test_file.bytes();
        let hash = Sha256::digest(&bytes);
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "id": self.id, "name": self.test_file.name, "media_type": "text/plain",
            "size": bytes.len(), "sha256": hash,
        })
    }
}

/// State of all orders, by id.
#[derive(Default)]
pub struct Orders(HashMap<String, Order>);

impl Orders {
    /// Applies the next event of the log and returns its expected result. Ids of files are assigned
    /// by the system and taken from the answer or the frame.
    pub fn execute(&mut self, event: &Row, entry: &Entry, frame: &Value) -> Verdict {
        let number = self.0.len() as u64 + 1;
        let (request, subject) = (&entry.request, &entry.subject);
        if let Some(refusal) = self.refusal(event, entry) {
            return refusal;
        }
        let known = self.0.get_mut(&event.order);
        let (kind, timeline_type, order) = match (known, request) {
            (None, Request::Place(draft)) => {
                let order = self.0.entry(event.order.clone()).or_insert(Order {
                    number,
                    owner: subject.to_owned(),
                    draft: draft.clone(),
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
            (Some(_), Request::Place(_)) => return refused("the order exists already"),
            (Some(order), Request::Amend(draft)) => {
                order.draft = draft.clone();
                ("order.updated", "order.updated".to_owned(), order)
            }
            (Some(order), Request::Status(next)) => {
                order.status.clone_from(next);
                ("order.status", format!("order.{next}"), order)
            }
            (Some(order), Request::Attach(test_file)) => {
                let files = frame["order"]["attachments"].as_array();
                let id_in_frame = files.and_then(|files| files.last()?["id"].as_str());
                let id = entry.file.as_deref().or(id_in_frame);
                order.files.push(File {
                    id: id.unwrap_or_default().to_owned(),
                    test_file: test_file.clone(),
                });
                ("order.updated", "order.attached".to_owned(), order)
            }
            (Some(order), Request::Delete) => {
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
            "position": event.position, "type": timeline_type, "at": time(event.created),
        }));
        Verdict::Changed(kind, order.document(&event.order))
    }

    /// Returns the rejection of a request, if the rules require one.
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
        match &entry.request {
            Request::Place(_) => None,
            _ if order.is_deleted => Some(refused("the order has been deleted")),
            Request::Amend(_) if status != "placed" => Some(refused(format!(
                "the order is {status}; only a placed one can be changed"
            ))),
            Request::Status(next) if !may_become(status, next) => Some(refused(format!(
                "the order is {status}; it cannot become {next}"
            ))),
            _ => None,
        }
    }

    /// Returns all files with the ids of their orders.
    pub fn files(&self) -> impl Iterator<Item = (&str, &File)> {
        self.0
            .iter()
            .flat_map(|(id, order)| order.files.iter().map(move |file| (id.as_str(), file)))
    }

    /// Returns the ids of listed orders with this status and customer, newest first.
    #[must_use]
    pub fn listed(&self, status: Option<&str>, customer: Option<&str>) -> Vec<String> {
        let matches = |(_, order): &(&String, &Order)| {
            !order.is_deleted
                && status.is_none_or(|status| order.status == status)
                && customer.is_none_or(|customer| order.draft.customer == customer)
        };
        let mut found: Vec<_> = self.0.iter().filter(matches).collect();
        found.sort_unstable_by_key(|(_, order)| std::cmp::Reverse(order.number));
        found.into_iter().map(|(id, _)| id.clone()).collect()
    }

    /// Returns the owner of an order.
    #[must_use]
    pub fn owner(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(|order| order.owner.as_str())
    }

    /// Returns id and document of every order, and whether lists contain it.
    pub fn documents(&self) -> impl Iterator<Item = (&str, Value, bool)> {
        self.0
            .iter()
            .map(|(id, order)| (id.as_str(), order.document(id), !order.is_deleted))
    }

    /// Returns the number of orders.
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
        let products = &self.draft.products;
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
            "customer": { "id": self.draft.customer, "name": null, "email": null },
            "currency": "EUR", "products": products.iter().map(line).collect::<Vec<_>>(),
            "items_count": count, "total": euros(total.sum()), "reference": self.draft.reference,
            "timeline": self.timeline,
        });
        if !self.files.is_empty() {
            document["attachments"] = self.files.iter().map(File::document).collect();
        }
        document
    }
}

/// Formats a time as the API does.
#[must_use]
pub fn time(millis: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(millis).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
