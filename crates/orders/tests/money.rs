//! Properties of money, checked against integer arithmetic in minor units.

use bakehouse_orders::money::{Amount, Currency, LIMIT};
use bakehouse_orders::parse::{Defaults, Faults, place};
use bakehouse_orders::{Command, Orders};
use bakehouse_testkit::cases::cases;
use bakehouse_testkit::scenario::Scenario;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Formats a number of minor units as a decimal.
fn format_units(units: u128, digits: u8) -> String {
    let width = usize::from(digits);
    let text = format!("{units:0>width$}", width = width + 1);
    let (whole, fraction) = text.split_at(text.len() - width);
    match fraction {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

fn currencies() -> impl Strategy<Value = Currency> {
    prop::sample::select(Currency::all().collect::<Vec<_>>())
}

/// Lines with a size in digits, a number for the price in minor units, and a quantity.
fn lines() -> impl Strategy<Value = Vec<(u32, u128, u32)>> {
    prop::collection::vec((1..=16_u32, any::<u128>(), 1..=1_000_000_u32), 1..40)
}

/// Price in minor units with at most `size` digits, below the limit.
fn units(size: u32, number: u128, digits: u8) -> u128 {
    let limit = u128::from(LIMIT) * 10_u128.pow(u32::from(digits));
    number % 10_u128.pow(size) % limit
}

fn order(currency: Currency, products: &[Value]) -> Result<Command, Faults> {
    let body = json!({ "currency": String::from(currency), "products": products });
    place(body.to_string().as_bytes(), &Defaults::default())
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// Totals of the lines and of the order.
    #[test]
    fn totals_are_exact_in_every_currency(currency in currencies(), lines in lines()) {
        let digits = currency.digits();
        let (mut products, mut expected, mut total) = (Vec::new(), Vec::new(), 0);
        for (size, number, quantity) in lines {
            let price = units(size, number, digits);
            let line = price * u128::from(quantity);
            let price = format_units(price, digits);
            products.push(json!({ "name": "Tea", "price": price, "quantity": quantity }));
            expected.push((price, format_units(line, digits)));
            total += line;
        }
        let command = order(currency, &products);
        let command = command.map_err(|faults| TestCaseError::fail(format!("{faults:?}")))?;
        let document = Scenario::<Orders>::given([]).when(command).document();
        prop_assert_eq!(&document["total"], &json!(format_units(total, digits)));
        for (line, (price, total)) in document["products"].as_array().into_iter().flatten().zip(expected) {
            prop_assert_eq!(&line["price"], &json!(price));
            prop_assert_eq!(&line["total"], &json!(total));
        }
    }

    /// Amounts are never rounded: significant digits beyond those of the currency are rejected, and
    /// so are negative amounts.
    #[test]
    fn an_amount_is_read_exactly_or_refused(
        currency in currencies(), size in 1..=16_u32, number: u128, more in "[0-9]{0,4}",
        is_negative: bool,
    ) {
        let digits = currency.digits();
        let units = units(size, number, digits);
        let written = format_units(units, digits);
        let point = if digits == 0 && !more.is_empty() { "." } else { "" };
        let sign = if is_negative { "-" } else { "" };
        let text = format!("{sign}{written}{point}{more}");
        let is_finer = more.contains(|digit| digit != '0');
        let is_below = is_negative && (units > 0 || is_finer);
        match Amount::parse(&text, currency) {
            Ok(amount) => {
                prop_assert!(!is_finer && !is_below, "{} was taken as {}", text, amount);
                prop_assert_eq!(amount.to_string(), written);
            }
            Err(error) => prop_assert!(is_finer || is_below, "{}: {}", text, error),
        }
    }

    /// Sums do not depend on the order of their terms, and multiplication equals repeated addition.
    #[test]
    fn sums_do_not_depend_on_their_order(
        currency in currencies(), prices in prop::collection::vec((1..=16_u32, any::<u128>()), 1..20),
        quantity in 1..50_u32,
    ) {
        let digits = currency.digits();
        let amount = |(size, number): &(u32, u128)| {
            Amount::parse(&format_units(units(*size, *number, digits), digits), currency)
        };
        let amounts: Vec<Amount> = prices.iter().map(amount).collect::<Result<_, _>>().expect("amounts");
        let sum = |all: &mut dyn Iterator<Item = Amount>| all.fold(Amount::zero(currency), Amount::plus);
        let forward = sum(&mut amounts.iter().copied());
        prop_assert_eq!(forward, sum(&mut amounts.iter().rev().copied()));
        let repeated = sum(&mut std::iter::repeat_n(amounts[0], quantity as usize));
        prop_assert_eq!(amounts[0].times(quantity).to_string(), repeated.to_string());
    }
}

/// In all currencies, the limit itself is rejected and the largest amount below it accepted.
#[test]
fn the_limit_is_the_first_amount_that_is_refused() {
    for currency in Currency::all() {
        let digits = currency.digits();
        let limit = u128::from(LIMIT) * 10_u128.pow(u32::from(digits));
        assert!(Amount::parse(&format_units(limit - 1, digits), currency).is_ok());
        assert!(Amount::parse(&format_units(limit, digits), currency).is_err());
    }
}
