//! Exact decimal numbers. All spellings of a number, with any leading or trailing zeros and any
//! exponent, are parsed to the same value.

/// Decimal number: `digits × 10^-scale`, without leading or trailing zeros in the digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExactDecimal {
    /// True if the number is below zero; false for `-0`.
    pub is_negative: bool,
    digits: String,
    scale: i64,
}

impl ExactDecimal {
    /// Parses decimal notation with an optional exponent. Leading zeros are accepted. Returns `None`
    /// for other spellings that JSON does not have, such as `.5`, `1.`, `+1` and `1_000`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
        let (whole, fraction) = match unsigned.split_once('.') {
            Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
            Some(_) => return None,
            None => (unsigned, ""),
        };
        if !is_digits(whole) {
            return None;
        }
        let fraction = fraction.trim_end_matches('0');
        let written = format!("{whole}{fraction}");
        let digits = written.trim_start_matches('0').trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self {
                is_negative: false,
                digits: String::new(),
                scale: 0,
            });
        }
        let trailing = written.len() - written.trim_end_matches('0').len();
        let scale = fraction.len() as i64 - trailing as i64;
        Some(Self {
            is_negative: mantissa.len() != unsigned.len(),
            digits: digits.to_owned(),
            scale: scale.saturating_sub(exponent),
        })
    }

    /// Returns the number of digits after the decimal point, without trailing zeros.
    #[must_use]
    pub fn fraction_digits(&self) -> u64 {
        self.scale.max(0).unsigned_abs()
    }

    /// Returns the number of digits before the decimal point, without leading zeros.
    #[must_use]
    pub fn whole_digits(&self) -> u64 {
        let length = self.digits.len() as i64;
        length.saturating_sub(self.scale).max(0).unsigned_abs()
    }

    /// Returns the magnitude in units of `10^-scale`: 350 for 3.5 at a scale of 2. `None` if the
    /// number has more digits after the decimal point, or does not fit.
    #[must_use]
    pub fn magnitude_at(&self, scale: u32) -> Option<u128> {
        if self.digits.is_empty() {
            return Some(0);
        }
        let zeros = i64::from(scale).checked_sub(self.scale)?;
        let zeros = u32::try_from(zeros).ok()?;
        let digits: u128 = self.digits.parse().ok()?;
        digits.checked_mul(10_u128.checked_pow(zeros)?)
    }

    /// Returns the number as an integer; `None` if it has a fraction, or does not fit.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        let magnitude = i128::try_from(self.magnitude_at(0)?).ok()?;
        let signed = if self.is_negative {
            -magnitude
        } else {
            magnitude
        };
        signed.try_into().ok()
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Parses an exponent; its magnitude is limited to `MAX_EXPONENT`.
fn parse_exponent(text: &str) -> Option<i64> {
    /// Limit of the magnitude of an exponent: larger than any accepted number needs, and small
    /// enough to rule out overflow.
    const MAX_EXPONENT: i64 = 1_000_000_000_000;
    let is_negative = text.starts_with('-');
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !is_digits(digits) {
        return None;
    }
    let exponent: i64 = digits.parse().unwrap_or(MAX_EXPONENT).min(MAX_EXPONENT);
    Some(if is_negative { -exponent } else { exponent })
}
