//! The kinds of values that an order is made of.

use bakehouse_pipeline::Timestamp;
use rust_decimal::Decimal;

use super::MOST_OF_ONE;
use super::fault::Collector;
use super::json::Place;
use crate::money::{Amount, Currency};

/// Text of 1 to `most` characters, not blank, without control characters.
pub(super) fn text(place: &Place<'_>, most: usize, faults: &mut Collector) -> Option<String> {
    let Some(text) = place.string() else {
        faults.add(&place.pointer, "expected text");
        return None;
    };
    if text.trim().is_empty() || text.chars().count() > most {
        faults.add(
            &place.pointer,
            format!("expected text of 1 to {most} characters"),
        );
        return None;
    }
    if text.chars().any(char::is_control) {
        faults.add(&place.pointer, "must not contain control characters");
        return None;
    }
    Some(text)
}

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

/// RFC 3339 with an offset.
pub(super) fn time(place: &Place<'_>, faults: &mut Collector) -> Option<Timestamp> {
    let time = place.string().and_then(|text| Timestamp::parse(&text).ok());
    if time.is_none() {
        faults.add(
            &place.pointer,
            "expected a time of RFC 3339, such as 2026-01-31T12:00:00Z",
        );
    }
    time
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
        Amount::parse_number(place.raw(), currency)
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
    let number = place.is_number().then(|| whole(place.raw())).flatten();
    let number = number.filter(|number| (1..=MOST_OF_ONE).contains(number));
    if number.is_none() {
        faults.add(
            &place.pointer,
            format!("expected a whole number from 1 to {MOST_OF_ONE}"),
        );
    }
    number
}

/// A whole number, however it is written: `2`, `2.0` and `2e0` are one number in
/// JSON.
fn whole(text: &str) -> Option<u32> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let decimal = Decimal::from_scientific(text)
        .or_else(|_| Decimal::from_str_exact(text))
        .ok()?;
    decimal.is_integer().then(|| decimal.try_into().ok())?
}
