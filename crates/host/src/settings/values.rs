//! Deserializers of values that are written in several forms.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::SecretUri;

/// Deserializes text. Values of variables that look like numbers or booleans are accepted as text:
/// an instance may be named `0`.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected text")]
    enum Value {
        Text(String),
        Natural(u64),
        Whole(i64),
        Truth(bool),
    }
    Ok(match Value::deserialize(deserializer)? {
        Value::Text(text) => text,
        Value::Natural(number) => number.to_string(),
        Value::Whole(number) => number.to_string(),
        Value::Truth(truth) => truth.to_string(),
    })
}

/// Deserializes a list of texts: an array, or one text with commas in between, which is easier to
/// write in a variable.
///
/// # Errors
/// An error if the value is neither.
pub fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "expected a list, or text with commas in between"
    )]
    enum Value {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Value::deserialize(deserializer)? {
        Value::One(text) => {
            let parts = text.split(',').map(str::trim);
            parts
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        }
        Value::Many(texts) => texts,
    })
}

/// Deserializes a list of values of a type, in the forms that [`list`] accepts.
pub(super) fn list_of<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let texts = list(deserializer)?;
    let values = texts
        .iter()
        .map(|text| text.parse().map_err(D::Error::custom));
    values.collect()
}

/// Deserializes a list of URIs, in the forms that [`list`] accepts.
///
/// # Errors
/// An error if the value is neither an array nor text.
pub fn uris<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SecretUri>, D::Error> {
    let texts = list(deserializer)?;
    Ok(texts.into_iter().map(SecretUri::from).collect())
}
