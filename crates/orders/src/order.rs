//! State of an order, which decisions and documents are based on.

use bakehouse_engine::{Moment, Position, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::money::Currency;
use crate::{Customer, Draft, Event, File, Product, Status};

/// State of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Status.
    pub status: Status,
    /// True if the order was removed from the lists.
    pub is_deleted: bool,
    /// Currency of all prices.
    pub currency: Currency,
    /// Lines of the order.
    pub products: Vec<Product>,
    /// Customer.
    pub customer: Option<Customer>,
    /// Date given by the sender, or the time at which the order was stored.
    pub date: Timestamp,
    /// Reference given by the sender.
    pub reference: Option<String>,
    /// Attached files, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<File>,
    /// Events of the order, oldest first.
    pub timeline: Vec<Entry>,
}

/// Entry of the timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// Position in the log.
    #[schema(value_type = u64)]
    pub position: Position,
    /// Type of the event: `order.created`, `order.updated`, `order.deleted`; for a change of status
    /// the status itself: `order.paid`, …; for files `order.attached` and `order.detached`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Time at which the event was stored.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// Applies an event to an order.
///
/// # Panics
/// If the order does not exist and the event is not its creation. Decisions never yield such an
/// event.
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
        (None, _) => unreachable!("event on an order that does not exist"),
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
