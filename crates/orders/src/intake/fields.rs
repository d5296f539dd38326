//! The kinds of values that an order is made of.

use bakehouse_validation::{Collector, Place, text, whole_number};

use super::MOST_OF_ONE;
use crate::money::{Amount, Currency};

/// An address with something on both sides of its `@`. More than that only a
/// mail sent to it can tell.
pub(super) fn email(place: &Place<'_>, faults: &mut Collector) -> Option<String> {
    let text = text(place, 254, faults)?;
    let is_address = text
        .rsplit_once('@')
        .is_some_and(|(who, host)| !who.is_empty() && !host.is_empty() && !text.contains(' '));
    if !is_address {
        faults.add(&place.pointer, "expected an e-mail address");
    }
    is_address.then_some(text)
}

/// E.164: a plus and up to 15 digits, the country's first.
pub(super) fn phone(place: &Place<'_>, faults: &mut Collector) -> Option<String> {
    let text = place.string().unwrap_or_default();
    let digits = text.strip_prefix('+').unwrap_or_default();
    let is_number = (7..=15).contains(&digits.len())
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && !digits.starts_with('0');
    if !is_number {
        faults.add(
            &place.pointer,
            "expected a telephone number of E.164, such as +4930123456",
        );
    }
    is_number.then_some(text)
}

/// ISO 4217.
pub(super) fn currency(place: &Place<'_>, faults: &mut Collector) -> Option<Currency> {
    let text = place.string().unwrap_or_default();
    text.parse()
        .map_err(|error: crate::money::MoneyError| {
            faults.add(&place.pointer, error.to_string());
        })
        .ok()
}

/// A decimal string, or a JSON number: both are read as they are written.
pub(super) fn price(
    place: &Place<'_>,
    currency: Currency,
    faults: &mut Collector,
) -> Option<Amount> {
    let amount = if place.is_number() {
        Amount::parse(place.raw(), currency)
    } else {
        Amount::parse(&place.string().unwrap_or_default(), currency)
    };
    match amount {
        Ok(amount) => Some(amount),
        Err(error) => {
            faults.add(&place.pointer, error.to_string());
            None
        }
    }
}

/// 1 to [`MOST_OF_ONE`].
pub(super) fn quantity(place: &Place<'_>, faults: &mut Collector) -> Option<u32> {
    let number = whole_number(place, 1..=i64::from(MOST_OF_ONE), faults)?;
    number.try_into().ok()
}
