//! Domain of orders. Pure: no I/O, no async, no clock.
//!
//! - [`parse`]: from a request body to a [`Command`], or to all of its errors;
//! - [`decide`]: from a command to an [`Event`], or to a rejection;
//! - [`order`]: the state, and how events change it;
//! - [`document`]: the presentation of an order;
//! - [`notify`]: rules of notifications;
//! - [`money`]: exact amounts.

pub mod command;
pub mod decide;
pub mod document;
pub mod event;
pub mod money;
pub mod notify;
pub mod order;
pub mod parse;
pub mod status;

use bakehouse_engine::{BlobRef, Domain, Entity, Facet, Moment, Rejection, Verb};

pub use command::{Command, Customer, Draft, File, Product};
pub use decide::{MAX_ATTACHMENTS, no_more_files, too_many_files};
pub use document::Document;
pub use event::Event;
pub use order::Order;
pub use parse::{MAX_PRODUCTS, MAX_QUANTITY};
pub use status::{Status, UnknownStatus};

/// Facet for filtering lists of orders by status.
pub const STATUS: Facet = Facet {
    name: "status",
    member: "status",
};

/// Facet for filtering lists of orders by customer.
pub const CUSTOMER: Facet = Facet {
    name: "customer",
    member: "customer.id",
};

/// The domain of orders.
#[derive(Clone, Copy, Debug)]
pub struct Orders;

/// Members of orders and their documents that contain no personal data.
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

/// Returns the name of an attached file's blob. It includes the checksum, so that another upload
/// under the same idempotency key cannot replace the file that the order refers to.
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

    /// Only commands that a program of version 1 would execute differently have version 2, so that
    /// all others are executed during a rolling upgrade.
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
