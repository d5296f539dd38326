//! What an order is. Pure: no I/O, no async, no clock.
//!
//! - [`intake`]: a request's body into a [`Command`], or all of its faults;
//! - [`decide`]: a command into a [`Event`], or the reason why not;
//! - [`order`]: the state, and what an event makes of it;
//! - [`document`]: the order as readers get it;
//! - [`notify`]: whom to tell of what became of it;
//! - [`money`]: exact amounts.

pub mod command;
pub mod decide;
pub mod document;
pub mod event;
pub mod intake;
pub mod money;
pub mod notify;
pub mod order;
pub mod status;

use bakehouse_engine::{BlobRef, Domain, Entity, Facet, Moment, Rejection, Verb};

pub use command::{Command, Customer, Draft, File, Product};
pub use decide::{MOST_ATTACHMENTS, no_more_files, too_many_files};
pub use document::Document;
pub use event::Event;
pub use intake::{MOST_OF_ONE, MOST_PRODUCTS};
pub use order::Order;
pub use status::{Status, UnknownStatus};

/// Lists of orders can be filtered by where they stand.
pub const STATUS: Facet = Facet {
    name: "status",
    member: "status",
};

/// Lists of orders can be filtered by who ordered.
pub const CUSTOMER: Facet = Facet {
    name: "customer",
    member: "customer.id",
};

/// The domain of orders.
#[derive(Clone, Copy, Debug)]
pub struct Orders;

/// Members of orders and their documents that say nothing about a person.
const PLAIN: &[&str] = &[
    "status",
    "is_deleted",
    "currency",
    "items_count",
    "total",
    "products.price",
    "products.quantity",
    "products.total",
    "timeline.position",
    "timeline.type",
    "timeline.at",
    "attachments.size",
    "attachments.sha256",
    "attachments.media_type",
];

/// Folder of the blobs that orders refer to.
pub const BLOBS: &str = "orders";

/// Name of an attached file's blob. The checksum is part of it: whatever is uploaded under an
/// idempotency key a second time, it never takes the place of what the order refers to.
#[must_use]
pub fn blob_name(order_id: &str, attachment_id: &str, sha256: &str) -> String {
    format!("{BLOBS}/{order_id}/{attachment_id}-{sha256}")
}

impl Domain for Orders {
    const NAME: &'static str = "order";
    const SCHEMA_VERSION: u32 = 2;
    const CHANGES: &'static [&'static str] = event::CHANGES;
    const FACETS: &'static [Facet] = &[STATUS, CUSTOMER];

    const PLAIN: &'static [&'static str] = PLAIN;

    type Command = Command;
    type Event = Event;
    type State = Order;
    type Document = Document;

    fn verb(command: &Command) -> Verb {
        command.verb()
    }

    /// Only what a program of version 1 would carry out otherwise is of version 2, so that
    /// nothing else waits for the programs that are still to be upgraded.
    fn version_of(command: &Command) -> u32 {
        match command {
            Command::Delete => 2,
            _ => 1,
        }
    }

    fn upcast(version: u32, payload: &str) -> serde_json::Result<Command> {
        Ok(match (version, serde_json::from_str(payload)?) {
            (1, Command::Delete) => Command::DeleteAndCancel,
            (_, command) => command,
        })
    }

    fn decide(state: Option<&Order>, command: Command, _: Moment) -> Result<Event, Rejection> {
        decide::decide(state, command)
    }

    fn apply(state: Option<Order>, event: Event, moment: Moment) -> Order {
        order::apply(state, event, moment)
    }

    fn bake(entity: &Entity<Order>) -> Document {
        document::bake(entity)
    }

    fn change(event: &Event) -> &'static str {
        event.change()
    }

    fn listed(order: &Order) -> bool {
        !order.is_deleted
    }

    fn blobs(id: &str, order: &Order) -> Vec<BlobRef> {
        let files = order.attachments.iter();
        let blob = files.map(|file| BlobRef {
            name: blob_name(id, &file.id, &file.sha256),
            size: file.size,
            sha256: file.sha256.clone(),
        });
        blob.collect()
    }

    fn group(order: &Order) -> Option<&str> {
        order.customer.as_ref()?.id.as_deref()
    }

    fn may_change_group(change: &str) -> bool {
        change == "updated"
    }
}
