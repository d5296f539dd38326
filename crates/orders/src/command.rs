//! What can be asked of an order. Stored as the payload of an event, so the
//! form may only grow in ways that old payloads can still be read by.

use bakehouse_engine::{Timestamp, Verb};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Status;
use crate::money::{Amount, Currency};

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Places a new order.
    Place(Draft),
    /// Replaces products, customer and reference.
    Amend(Draft),
    /// Moves the order along.
    SetStatus {
        /// Where to.
        status: Status,
    },
    /// Takes the order off the lists, and cancels it where nothing has been shipped.
    Delete,
    /// The meaning that `delete` had in schema version 1: the order is cancelled, whatever its
    /// status. Never written; read from operations of that version, whose outcome stays as it was.
    DeleteAndCancel,
    /// Adds a file, whose bytes are kept elsewhere.
    Attach(File),
    /// Takes a file away.
    Detach {
        /// Which one.
        id: String,
    },
}

impl Command {
    /// The label that the log gives it.
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

/// An order as its sender wrote it, checked and complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// At least one.
    pub products: Vec<Product>,
    /// Who ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Customer>,
    /// Of all prices.
    pub currency: Currency,
    /// The sender's date. Where there is none, the time of its event counts; it
    /// is not filled in earlier, so that sending the same body again stays the
    /// same operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Timestamp>,
    /// The sender's own name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// What there is to know of an attached file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct File {
    /// Given when it was uploaded.
    #[schema(format = "uuid")]
    pub id: String,
    /// As its sender called it.
    pub name: String,
    /// As its sender declared it, such as `application/pdf`.
    pub media_type: String,
    /// How many bytes it has.
    pub size: u64,
    /// SHA-256 of the bytes, in hexadecimal.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub sha256: String,
}

/// A line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// The seller's article number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<String>,
    /// What it is called.
    pub name: String,
    /// Of one.
    pub price: Amount,
    /// How many; at least 1.
    pub quantity: u32,
}

/// Who ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Customer {
    /// The sender's name for them; feeds can be filtered by it.
    #[schema(required)]
    pub id: Option<String>,
    /// What they are called.
    #[schema(required)]
    pub name: Option<String>,
    /// Where they can be reached.
    #[schema(required)]
    pub email: Option<String>,
    /// Their telephone (E.164); absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub phone: Option<String>,
}
