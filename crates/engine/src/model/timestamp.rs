//! Timestamps of the log: UTC with millisecond precision.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Datelike, SecondsFormat, SubsecRound, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Point in time in UTC with millisecond precision, written as `2026-01-31T12:00:00.000Z`.
///
/// BSON dates have millisecond precision, so a finer time would change in the database. The text
/// has a fixed width and sorts like the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// Returns the time of this machine's clock, truncated to milliseconds.
    #[must_use]
    pub fn now() -> Self {
        Utc::now().into()
    }

    /// Converts milliseconds since 1970-01-01T00:00:00Z; `None` when out of chrono's range.
    #[must_use]
    pub fn from_millis(millis: i64) -> Option<Self> {
        DateTime::from_timestamp_millis(millis).map(Self)
    }

    /// Returns the milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0.timestamp_millis()
    }

    /// Adds a duration. Returns the timestamp unchanged if the result is out of range.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.millis().saturating_add(millis)).unwrap_or(self)
    }

    /// Reads RFC 3339 text with any offset.
    ///
    /// # Errors
    /// When the text is not RFC 3339, or its year in UTC is not within 0..=9999 because of the
    /// offset.
    pub fn parse(text: &str) -> Result<Self, chrono::ParseError> {
        let time = Self::from(DateTime::parse_from_rfc3339(text)?.with_timezone(&Utc));
        match time.0.year() {
            0..=9999 => Ok(time),
            _ => DateTime::parse_from_rfc3339(&time.to_string()).map(|_| time),
        }
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.trunc_subsecs(3))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_a_fixed_width_and_reads_back_equal() {
        let time = Timestamp::from_millis(1_700_000_000_120).expect("in range");
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.120Z");
        assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
        let whole = Timestamp::from_millis(1_700_000_000_000).expect("in range");
        assert_eq!(whole.to_string().len(), time.to_string().len());
    }

    #[test]
    fn finer_than_a_millisecond_is_cut_so_that_stored_equals_sent() {
        let time = Timestamp::parse("2026-01-01T00:00:00.123987+02:00").expect("valid");
        assert_eq!(time.to_string(), "2025-12-31T22:00:00.123Z");
    }
}
