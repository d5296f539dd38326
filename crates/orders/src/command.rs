//! Commands on orders. They are stored as payloads in the log, so that changes must keep old
//! payloads readable.

use bakehouse_engine::{Timestamp, Verb};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Status;
use crate::money::{Amount, Currency};

/// Command on an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Places a new order.
    Place(Draft),
    /// Replaces products, customer and reference.
    Amend(Draft),
    /// Changes the status of the order.
    SetStatus {
        /// New status.
        status: Status,
    },
    /// Removes the order from the lists, and cancels it if it has not been shipped.
    Delete,
    /// Meaning of `delete` in schema version 1: cancels the order in any status. Never written; read
    /// from operations of that version, so that their outcome stays the same.
    DeleteAndCancel,
    /// Attaches a file, whose bytes are in the blob store.
    Attach(File),
    /// Removes an attached file.
    Detach {
        /// Id of the file.
        id: String,
    },
}

impl Command {
    /// Returns the verb under which the log stores the command.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match self {
            Self::Place(_) => Verb::Insert,
            Self::Amend(_) | Self::SetStatus { .. } | Self::Attach(_) | Self::Detach { .. } => {
                Verb::Update
            }
            Self::Delete | Self::DeleteAndCancel => Verb::Delete,
        }
    }
}

/// Validated contents of an order, as sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// Products; at least one.
    pub products: Vec<Product>,
    /// Customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Customer>,
    /// Currency of all prices.
    pub currency: Currency,
    /// Date given by the sender. If absent, the time of the event is used; it is not filled in
    /// earlier, so that a repeated request has the same payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Timestamp>,
    /// Reference given by the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Metadata of an attached file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct File {
    /// Id assigned at the upload.
    #[schema(format = "uuid")]
    pub id: String,
    /// File name given by the sender.
    pub name: String,
    /// Media type given by the sender, such as `application/pdf`.
    pub media_type: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the bytes, in hexadecimal.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub sha256: String,
}

/// Line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Article number of the seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// Name of the product.
    pub name: String,
    /// Price per unit.
    pub price: Amount,
    /// Quantity; at least 1.
    pub quantity: u32,
}

/// Customer of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Customer {
    /// Customer id given by the sender; feeds can be filtered by it.
    #[schema(required)]
    pub id: Option<String>,
    /// Name.
    #[schema(required)]
    pub name: Option<String>,
    /// E-mail address.
    #[schema(required)]
    pub email: Option<String>,
    /// Telephone number (E.164); absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub phone: Option<String>,
}
