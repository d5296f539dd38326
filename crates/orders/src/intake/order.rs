//! The body of an order.

use bakehouse_validation::{Collector, Members, Place, read, text, time};

use super::{Defaults, Faults, MOST_PRODUCTS, fields};
use crate::money::Currency;
use crate::{Command, Customer, Draft, Product};

const ORDER: [&str; 5] = ["products", "customer", "currency", "date", "reference"];
const PRODUCT: [&str; 4] = ["name", "price", "quantity", "sku"];
const CUSTOMER: [&str; 4] = ["id", "name", "email", "phone"];

/// Reads the body of a new order.
///
/// # Errors
/// [`Faults`]: all of them, in the order of the fields.
pub fn place(body: &[u8], defaults: &Defaults) -> Result<Command, Faults> {
    draft(body, defaults).map(Command::Place)
}

/// Reads the body that replaces an order's.
///
/// # Errors
/// [`Faults`]: all of them, in the order of the fields.
pub fn amend(body: &[u8], defaults: &Defaults) -> Result<Command, Faults> {
    draft(body, defaults).map(Command::Amend)
}

fn draft(body: &[u8], defaults: &Defaults) -> Result<Draft, Faults> {
    read(body, &ORDER, |members, faults| {
        members_of_draft(members, defaults, faults)
    })
}

/// A fault anywhere makes a fault of the whole; what stands in for a faulty
/// value is never seen.
fn members_of_draft(
    members: &mut Members<'_>,
    defaults: &Defaults,
    faults: &mut Collector,
) -> Option<Draft> {
    let currency = members.take("currency");
    let currency = currency.map_or(Some(defaults.currency), |at| fields::currency(&at, faults));
    let products = members.require("products", faults);
    let products = products.and_then(|at| products_of(&at, currency, faults));
    let customer = members
        .take("customer")
        .and_then(|at| customer_of(&at, faults));
    let date = members.take("date").and_then(|at| time(&at, faults));
    let reference = optional_text(members, "reference", 200, faults);
    Some(Draft {
        products: products?,
        customer,
        currency: currency?,
        date,
        reference,
    })
}

fn products_of(
    at: &Place<'_>,
    currency: Option<Currency>,
    faults: &mut Collector,
) -> Option<Vec<Product>> {
    let items = at.items().unwrap_or_default();
    if !(1..=MOST_PRODUCTS).contains(&items.len()) {
        faults.add(
            &at.pointer,
            format!("expected an array of 1 to {MOST_PRODUCTS} products"),
        );
        return None;
    }
    let products: Vec<_> = items
        .iter()
        .map(|item| product_of(item, currency, faults))
        .collect();
    products.into_iter().collect()
}

fn product_of(
    at: &Place<'_>,
    currency: Option<Currency>,
    faults: &mut Collector,
) -> Option<Product> {
    let mut members = at.members(faults)?;
    let name = members.require("name", faults);
    let name = name.and_then(|at| text(&at, 200, faults));
    // Of an unknown currency only the digits cannot be judged.
    let price = members.require("price", faults);
    let price = price.and_then(|at| fields::price(&at, currency.unwrap_or_default(), faults));
    let quantity = members.take("quantity");
    let quantity = quantity.map_or(Some(1), |at| fields::quantity(&at, faults));
    let sku = optional_text(&mut members, "sku", 64, faults);
    members.finish(&PRODUCT, faults);
    Some(Product {
        sku,
        name: name?,
        price: price?,
        quantity: quantity?,
    })
}

fn customer_of(at: &Place<'_>, faults: &mut Collector) -> Option<Customer> {
    let mut members = at.members(faults)?;
    if CUSTOMER.iter().all(|name| !members.has(name)) {
        let expected = format!("expected one of {} at least", CUSTOMER.join(", "));
        faults.add(&at.pointer, expected);
    }
    let id = optional_text(&mut members, "id", 100, faults);
    let name = optional_text(&mut members, "name", 200, faults);
    let email = members
        .take("email")
        .and_then(|at| fields::email(&at, faults));
    let phone = members
        .take("phone")
        .and_then(|at| fields::phone(&at, faults));
    members.finish(&CUSTOMER, faults);
    Some(Customer {
        id,
        name,
        email,
        phone,
    })
}

fn optional_text(
    members: &mut Members<'_>,
    name: &str,
    most: usize,
    faults: &mut Collector,
) -> Option<String> {
    members.take(name).and_then(|at| text(&at, most, faults))
}
