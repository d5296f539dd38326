//! Readers of the values of an order.

use bakehouse_validation::{ErrorCollector, JsonNode, text, whole_number};

use super::MAX_QUANTITY;
use crate::money::{Amount, Currency};

/// Reads an e-mail address: checks only that there is text on both sides of the `@`, since only a
/// sent mail can verify more.
pub(super) fn email(node: &JsonNode<'_>, faults: &mut ErrorCollector) -> Option<String> {
    let text = text(node, 254, faults)?;
    let is_address = text
        .rsplit_once('@')
        .is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !text.contains(' '));
    if !is_address {
        faults.add(&node.pointer, "expected an e-mail address");
    }
    is_address.then_some(text)
}

/// Reads a telephone number of E.164: a plus sign and up to 15 digits, beginning with the country
/// code.
pub(super) fn phone(node: &JsonNode<'_>, faults: &mut ErrorCollector) -> Option<String> {
    let text = node.string().unwrap_or_default();
    let digits = text.strip_prefix('+').unwrap_or_default();
    let is_number = (7..=15).contains(&digits.len())
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && !digits.starts_with('0');
    if !is_number {
        faults.add(
            &node.pointer,
            "expected a telephone number of E.164, such as +4930123456",
        );
    }
    is_number.then_some(text)
}

/// Reads a currency code of ISO 4217.
pub(super) fn currency(node: &JsonNode<'_>, faults: &mut ErrorCollector) -> Option<Currency> {
    let text = node.string().unwrap_or_default();
    text.parse()
        .map_err(|error: crate::money::MoneyError| {
            faults.add(&node.pointer, error.to_string());
        })
        .ok()
}

/// Reads an amount from a decimal string or a JSON number, both exactly.
pub(super) fn price(
    node: &JsonNode<'_>,
    currency: Currency,
    faults: &mut ErrorCollector,
) -> Option<Amount> {
    let amount = if node.is_number() {
        Amount::parse(node.raw(), currency)
    } else {
        Amount::parse(&node.string().unwrap_or_default(), currency)
    };
    match amount {
        Ok(amount) => Some(amount),
        Err(error) => {
            faults.add(&node.pointer, error.to_string());
            None
        }
    }
}

/// Reads a quantity from 1 to [`MAX_QUANTITY`].
pub(super) fn quantity(node: &JsonNode<'_>, faults: &mut ErrorCollector) -> Option<u32> {
    let number = whole_number(node, 1..=i64::from(MAX_QUANTITY), faults)?;
    number.try_into().ok()
}
