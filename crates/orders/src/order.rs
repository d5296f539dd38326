//! An order's state: what later decisions and the document need.

use bakehouse_engine::{Moment, Position, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::money::Currency;
use crate::{Customer, Draft, Event, File, Product, Status};

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Where it stands.
    pub status: Status,
    /// Whether it was taken off the lists.
    pub is_deleted: bool,
    /// Of all prices.
    pub currency: Currency,
    /// Its lines.
    pub products: Vec<Product>,
    /// Who ordered.
    pub customer: Option<Customer>,
    /// The sender's date, or when it was stored.
    pub date: Timestamp,
    /// The sender's own name for it.
    pub reference: Option<String>,
    /// Its files, in the order in which they came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<File>,
    /// What happened to it, in order.
    pub timeline: Vec<Entry>,
}

/// A line of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// Where in the log.
    #[schema(value_type = u64)]
    pub position: Position,
    /// `order.created`, `order.updated`, `order.deleted`; for a change of
    /// status the status itself: `order.paid`, …; `order.attached` and
    /// `order.detached` for files.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it was stored.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// The order after the event. Events only ever follow a decision, which is why
/// one on an order that does not exist can only be its creation.
#[must_use]
pub fn apply(order: Option<Order>, event: Event, moment: Moment) -> Order {
    let entry = entry(&event, moment);
    let mut order = match (order, event) {
        (_, Event::Created(draft)) => created(draft, moment),
        (Some(order), Event::Updated(draft)) => updated(order, draft),
        (Some(order), Event::StatusChanged(status)) => Order { status, ..order },
        (Some(order), Event::Deleted { is_cancelled }) => Order {
            status: match is_cancelled {
                true => Status::Cancelled,
                false => order.status,
            },
            is_deleted: true,
            ..order
        },
        (Some(mut order), Event::Attached(file)) => {
            order.attachments.push(file);
            order
        }
        (Some(mut order), Event::Detached(id)) => {
            order.attachments.retain(|file| file.id != id);
            order
        }
        (None, _) => unreachable!("an order that does not exist was changed"),
    };
    order.timeline.push(entry);
    order
}

fn created(draft: Draft, moment: Moment) -> Order {
    Order {
        status: Status::Placed,
        is_deleted: false,
        currency: draft.currency,
        products: draft.products,
        customer: draft.customer,
        date: draft.date.unwrap_or(moment.at),
        reference: draft.reference,
        attachments: Vec::new(),
        timeline: Vec::new(),
    }
}

fn updated(order: Order, draft: Draft) -> Order {
    Order {
        products: draft.products,
        customer: draft.customer,
        reference: draft.reference,
        date: draft.date.unwrap_or(order.date),
        ..order
    }
}

fn entry(event: &Event, moment: Moment) -> Entry {
    let kind = match event {
        Event::StatusChanged(status) => format!("order.{status}"),
        Event::Attached(_) => "order.attached".to_owned(),
        Event::Detached(_) => "order.detached".to_owned(),
        other => format!("order.{}", other.change()),
    };
    Entry {
        position: moment.position,
        kind,
        at: moment.at,
    }
}
