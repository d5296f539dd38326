//! The order as readers get it.

use bakehouse_pipeline::{Entity, Position, Timestamp};
use serde::Serialize;

use crate::money::{Amount, Currency};
use crate::order::Entry;
use crate::{Customer, Order, Product, Status};

/// A presentation document. Its members and their order are a public interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Document {
    id: String,
    number: u64,
    status: Status,
    position: Position,
    version: u64,
    created_at: Timestamp,
    updated_at: Timestamp,
    customer: Option<Customer>,
    currency: Currency,
    products: Vec<Line>,
    items_count: u64,
    total: Amount,
    reference: Option<String>,
    timeline: Vec<Entry>,
}

/// A product with what it comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Line {
    sku: Option<String>,
    name: String,
    quantity: u32,
    price: Amount,
    total: Amount,
}

/// The document of an order.
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
