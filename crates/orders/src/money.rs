//! Exact amounts of money, with the number of digits of their currency.

use std::fmt;
use std::str::FromStr;

use bakehouse_validation::ExactDecimal;
use iso_currency::IntoEnumIterator;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Currency of ISO 4217 with a minor unit. Codes without one, such as gold (`XAU`) and
/// "no currency" (`XXX`), are not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency {
    iso: iso_currency::Currency,
    digits: u8,
}

impl Currency {
    /// Returns all accepted currencies.
    pub fn all() -> impl Iterator<Item = Self> {
        iso_currency::Currency::iter().filter_map(|iso| iso.code().parse().ok())
    }

    /// Returns the number of digits after the decimal point: 2 for `EUR`, 0 for `JPY`, 3 for `KWD`.
    #[must_use]
    pub fn digits(self) -> u8 {
        self.digits
    }
}

impl Default for Currency {
    fn default() -> Self {
        Self {
            iso: iso_currency::Currency::EUR,
            digits: 2,
        }
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(code: &str) -> Result<Self, MoneyError> {
        let iso = iso_currency::Currency::from_code(code);
        let digits = iso.and_then(iso_currency::Currency::exponent);
        match (iso, digits.and_then(|digits| u8::try_from(digits).ok())) {
            (Some(iso), Some(digits)) => Ok(Self { iso, digits }),
            _ => Err(MoneyError::UnknownCurrency),
        }
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;

    fn try_from(code: String) -> Result<Self, MoneyError> {
        code.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.iso.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.iso.code())
    }
}

/// Error of a currency or an amount; the message says what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The code is not in ISO 4217, or has no minor unit.
    #[error("expected a currency code of ISO 4217, such as \"EUR\"")]
    UnknownCurrency,
    /// The text is not a number in decimal notation.
    #[error("expected a decimal such as \"3.50\" or 3.50")]
    NotADecimal,
    /// The amount is negative.
    #[error("must not be negative")]
    Negative,
    /// The amount has more digits after the decimal point than the currency.
    #[error("must have at most {digits} digits after the decimal point in {currency}")]
    TooManyDigits {
        /// Currency of the amount.
        currency: Currency,
        /// Number of digits of the currency.
        digits: u8,
    },
    /// The amount is not below [`LIMIT`].
    #[error("must be less than {LIMIT}")]
    TooLarge,
}

/// Exclusive upper limit of prices. The total of an order then has at most 12 + 6 + 3 digits before
/// the decimal point (at most a million of each of a thousand products) and 4 after it, which fit
/// into the 28 digits of the decimal type.
pub const LIMIT: u64 = 1_000_000_000_000;
/// Digits before the decimal point that an amount below [`LIMIT`] may have.
const WHOLE_DIGITS: u64 = 12;

/// Amount ≥ 0, serialized as a decimal string with the digits of the currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(Decimal);

impl Amount {
    /// Parses a price in decimal notation with an optional exponent. Any number of trailing zeros is
    /// accepted.
    ///
    /// # Errors
    /// [`MoneyError`] if the text is not a number, or the amount is negative, too large or has too
    /// many digits; amounts are never rounded.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let decimal = ExactDecimal::parse(text).ok_or(MoneyError::NotADecimal)?;
        if decimal.is_negative {
            return Err(MoneyError::Negative);
        }
        let digits = currency.digits();
        if decimal.fraction_digits() > u64::from(digits) {
            return Err(MoneyError::TooManyDigits { currency, digits });
        }
        if decimal.whole_digits() > WHOLE_DIGITS {
            return Err(MoneyError::TooLarge);
        }
        let scale = u32::from(digits);
        let magnitude = decimal.magnitude_at(scale);
        let magnitude = magnitude.and_then(|magnitude| i128::try_from(magnitude).ok());
        let amount = magnitude.and_then(|m| Decimal::try_from_i128_with_scale(m, scale).ok());
        amount.map(Self).ok_or(MoneyError::TooLarge)
    }

    /// Returns zero with the digits of the currency.
    #[must_use]
    pub fn zero(currency: Currency) -> Self {
        Self(Decimal::new(0, u32::from(currency.digits())))
    }

    /// Returns the amount multiplied by a quantity.
    #[must_use]
    pub fn times(self, quantity: u32) -> Self {
        let mut product = self.0 * Decimal::from(quantity);
        // Multiplying zero drops the digits of the currency.
        product.rescale(self.0.scale());
        Self(product)
    }

    /// Returns the sum of two amounts.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.0.to_string()
    }
}

impl TryFrom<String> for Amount {
    type Error = MoneyError;

    /// Parses a serialized amount, which already has the digits of its currency.
    fn try_from(text: String) -> Result<Self, MoneyError> {
        Decimal::from_str_exact(&text)
            .map(Self)
            .map_err(|_| MoneyError::NotADecimal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str, currency: &str) -> Result<String, MoneyError> {
        let currency = currency.parse().expect("a currency");
        Amount::parse(text, currency).map(|amount| amount.to_string())
    }

    #[test]
    fn amounts_are_written_with_the_digits_of_their_currency() {
        assert_eq!(amount("3.5", "EUR").as_deref(), Ok("3.50"));
        assert_eq!(amount("3", "EUR").as_deref(), Ok("3.00"));
        assert_eq!(amount("0", "JPY").as_deref(), Ok("0"));
        assert_eq!(amount("-0.0", "EUR").as_deref(), Ok("0.00"));
        assert_eq!(amount("1.234", "KWD").as_deref(), Ok("1.234"));
        assert_eq!(amount("35e-1", "EUR").as_deref(), Ok("3.50"));
        assert_eq!(amount("1e2", "EUR").as_deref(), Ok("100.00"));
        let zeros = "0".repeat(400);
        for (text, expected) in [
            (format!("3.5{zeros}"), "3.50"),
            (format!("{zeros}3.5"), "3.50"),
            (format!("35{zeros}e-401"), "3.50"),
            (format!("0.{zeros}35e401"), "3.50"),
            (format!("3{zeros}.{zeros}e-400"), "3.00"),
            (format!("0.{zeros}e99999999999999999999"), "0.00"),
            ("-0e-99999999999999999999".into(), "0.00"),
        ] {
            assert_eq!(amount(&text, "EUR").as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(amount("3.000", "JPY").as_deref(), Ok("3"));
        assert_eq!(
            amount("999999999999.99", "EUR").as_deref(),
            Ok("999999999999.99")
        );
    }

    #[test]
    fn inexact_amounts_are_rejected_with_the_expected_form() {
        let eur: Currency = "EUR".parse().expect("a currency");
        let (currency, digits) = (eur, 2);
        assert_eq!(amount("-0.01", "EUR"), Err(MoneyError::Negative));
        assert_eq!(
            amount("1.001", "EUR"),
            Err(MoneyError::TooManyDigits { currency, digits })
        );
        // One digit more than the decimal type can hold, with an exponent or without.
        let nines = format!("3.4{}", "9".repeat(32));
        for text in [format!("{nines}e0"), format!("{nines}e-0"), nines] {
            let expected = Err(MoneyError::TooManyDigits { currency, digits });
            assert_eq!(amount(&text, "EUR"), expected, "{text}");
        }
        assert_eq!(amount("1e12", "EUR"), Err(MoneyError::TooLarge));
        assert_eq!(amount("1e40", "EUR"), Err(MoneyError::TooLarge));
        for text in [
            "", ".", "1.", ".5", "+1", "1_000", "1,5", "NaN", "0x1", " 1", "1e", "1e1.5",
        ] {
            assert!(amount(text, "EUR").is_err(), "{text:?}");
        }
        for text in ["1e400", "9".repeat(40).as_str()] {
            assert_eq!(amount(text, "EUR"), Err(MoneyError::TooLarge), "{text:?}");
        }
        for text in ["1e-400", &format!("0.{}", "1".repeat(60))] {
            let expected = Err(MoneyError::TooManyDigits { currency, digits });
            assert_eq!(amount(text, "EUR"), expected, "{text:?}");
        }
    }

    #[test]
    fn codes_without_a_minor_unit_are_rejected() {
        for code in ["XXX", "XAU", "eur", "EURO", ""] {
            assert_eq!(
                code.parse::<Currency>(),
                Err(MoneyError::UnknownCurrency),
                "{code:?}"
            );
        }
    }

    #[test]
    fn multiples_of_zero_keep_the_digits_of_their_currency() {
        let eur: Currency = "EUR".parse().expect("a currency");
        assert_eq!(Amount::zero(eur).times(3).to_string(), "0.00");
        assert_eq!(
            Amount::zero(eur)
                .times(3)
                .plus(Amount::zero(eur))
                .to_string(),
            "0.00"
        );
    }

    #[test]
    fn the_largest_order_has_an_exact_total() {
        let kwd: Currency = "CLF".parse().expect("a currency of four digits");
        let price = Amount::parse("999999999999.9999", kwd).expect("below the limit");
        let line = price.times(1_000_000);
        let total = (0..1_000).fold(Amount::zero(kwd), |sum, _| sum.plus(line));
        assert_eq!(total.to_string(), "999999999999999900000.0000");
    }
}
