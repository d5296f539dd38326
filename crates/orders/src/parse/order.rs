//! Body of an order.

use bakehouse_validation::{ErrorCollector, JsonNode, Members, read, text, time};

use super::{Defaults, Faults, MAX_PRODUCTS, fields};
use crate::money::Currency;
use crate::{Command, Customer, Draft, Product};

const ORDER_MEMBERS: [&str; 5] = ["products", "customer", "currency", "date", "reference"];
const PRODUCT_MEMBERS: [&str; 4] = ["name", "price", "quantity", "sku"];
const CUSTOMER_MEMBERS: [&str; 4] = ["id", "name", "email", "phone"];

/// Parses the body of a new order.
///
/// # Errors
/// [`Faults`] with all errors of the body, in the order of the members.
pub fn place(body: &[u8], defaults: &Defaults) -> Result<Command, Faults> {
    draft(body, defaults).map(Command::Place)
}

/// Parses the body that replaces the contents of an order.
///
/// # Errors
/// [`Faults`] with all errors of the body, in the order of the members.
pub fn amend(body: &[u8], defaults: &Defaults) -> Result<Command, Faults> {
    draft(body, defaults).map(Command::Amend)
}

fn draft(body: &[u8], defaults: &Defaults) -> Result<Draft, Faults> {
    read(body, &ORDER_MEMBERS, |members, faults| {
        read_draft(members, defaults, faults)
    })
}

/// Reads the members of an order. If any member has an error, [`read`] discards the draft.
fn read_draft(
    members: &mut Members<'_>,
    defaults: &Defaults,
    faults: &mut ErrorCollector,
) -> Option<Draft> {
    let currency = members.take("currency");
    let currency = currency.map_or(Some(defaults.currency), |node| {
        fields::currency(&node, faults)
    });
    let products = members.require("products", faults);
    let products = products.and_then(|node| read_products(&node, currency, faults));
    let customer = members
        .take("customer")
        .and_then(|node| read_customer(&node, faults));
    let date = members.take("date").and_then(|node| time(&node, faults));
    let reference = optional_text(members, "reference", 200, faults);
    Some(Draft {
        products: products?,
        customer,
        currency: currency?,
        date,
        reference,
    })
}

fn read_products(
    node: &JsonNode<'_>,
    currency: Option<Currency>,
    faults: &mut ErrorCollector,
) -> Option<Vec<Product>> {
    let items = node.items().unwrap_or_default();
    if !(1..=MAX_PRODUCTS).contains(&items.len()) {
        faults.add(
            &node.pointer,
            format!("expected an array of 1 to {MAX_PRODUCTS} products"),
        );
        return None;
    }
    let products: Vec<_> = items
        .iter()
        .map(|item| read_product(item, currency, faults))
        .collect();
    products.into_iter().collect()
}

fn read_product(
    node: &JsonNode<'_>,
    currency: Option<Currency>,
    faults: &mut ErrorCollector,
) -> Option<Product> {
    let mut members = node.members(faults)?;
    let name = members.require("name", faults);
    let name = name.and_then(|node| text(&node, 200, faults));
    // If the currency is unknown, the digits are checked against the default one.
    let price = members.require("price", faults);
    let price = price.and_then(|node| fields::price(&node, currency.unwrap_or_default(), faults));
    let quantity = members.take("quantity");
    let quantity = quantity.map_or(Some(1), |node| fields::quantity(&node, faults));
    let sku = optional_text(&mut members, "sku", 64, faults);
    members.finish(&PRODUCT_MEMBERS, faults);
    Some(Product {
        sku,
        name: name?,
        price: price?,
        quantity: quantity?,
    })
}

fn read_customer(node: &JsonNode<'_>, faults: &mut ErrorCollector) -> Option<Customer> {
    let mut members = node.members(faults)?;
    if CUSTOMER_MEMBERS.iter().all(|name| !members.has(name)) {
        let expected = format!("expected at least one of {}", CUSTOMER_MEMBERS.join(", "));
        faults.add(&node.pointer, expected);
    }
    let id = optional_text(&mut members, "id", 100, faults);
    let name = optional_text(&mut members, "name", 200, faults);
    let email = members
        .take("email")
        .and_then(|node| fields::email(&node, faults));
    let phone = members
        .take("phone")
        .and_then(|node| fields::phone(&node, faults));
    members.finish(&CUSTOMER_MEMBERS, faults);
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
    faults: &mut ErrorCollector,
) -> Option<String> {
    members
        .take(name)
        .and_then(|node| text(&node, most, faults))
}
