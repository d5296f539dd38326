//! Presentation document of an order.

use bakehouse_engine::{Entity, Position, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::money::{Amount, Currency};
use crate::order::Entry;
use crate::{Customer, File, Order, Product, Status};

/// Presentation document of an order. Its members and their order are a public interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Order)]
pub struct Document {
    #[schema(format = "uuid")]
    id: String,
    /// Sequence number in creation order, without gaps: 1, 2, 3, …
    number: u64,
    status: Status,
    /// Position of the latest change in the log.
    #[schema(value_type = u64)]
    position: Position,
    /// Number of changes so far; in quotes, the entity tag.
    version: u64,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    #[schema(required)]
    customer: Option<Customer>,
    #[schema(value_type = String, pattern = "^[A-Z]{3}$")]
    currency: Currency,
    products: Vec<Line>,
    items_count: u64,
    /// Exact total, with the digits of the currency.
    #[schema(value_type = String, pattern = r"^[0-9]+(\.[0-9]+)?$")]
    total: Amount,
    #[schema(required)]
    reference: Option<String>,
    timeline: Vec<Entry>,
    /// Attached files; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    attachments: Vec<File>,
}

/// Product with its total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Line {
    #[schema(required)]
    sku: Option<String>,
    name: String,
    quantity: u32,
    #[schema(value_type = String, pattern = r"^[0-9]+(\.[0-9]+)?$")]
    price: Amount,
    /// Exact total of the line, with the digits of the currency.
    #[schema(value_type = String, pattern = r"^[0-9]+(\.[0-9]+)?$")]
    total: Amount,
}

/// Builds the document of an order.
#[must_use]
pub fn bake(entity: &Entity<Order>) -> Document {
    let order = &entity.state;
    let products: Vec<Line> = order.products.iter().map(line).collect();
    let zero = Amount::zero(order.currency);
    Document {
        id: entity.id.clone(),
        number: entity.number,
        status: order.status,
        position: entity.position,
        version: entity.version,
        created_at: entity.created_at,
        updated_at: entity.updated_at,
        customer: order.customer.clone(),
        currency: order.currency,
        items_count: products.iter().map(|line| u64::from(line.quantity)).sum(),
        total: products.iter().fold(zero, |sum, line| sum.plus(line.total)),
        products,
        reference: order.reference.clone(),
        timeline: order.timeline.clone(),
        attachments: order.attachments.clone(),
    }
}

fn line(product: &Product) -> Line {
    Line {
        sku: product.sku.clone(),
        name: product.name.clone(),
        quantity: product.quantity,
        price: product.price,
        total: product.price.times(product.quantity),
    }
}
