//! Walking JSON text without ever turning a number into a binary float, and
//! without losing a member that is there twice.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::fault::Collector;

/// Levels that arrays and objects of a body may be nested in each other.
pub const MAX_DEPTH: usize = 32;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// Where: a JSON pointer (RFC 6901).
    pub pointer: String,
    value: &'a RawValue,
}

impl<'a> Place<'a> {
    /// The whole body.
    ///
    /// # Errors
    /// Where it stops being JSON in UTF-8 (RFC 8259), or is nested too deeply.
    pub fn root(body: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body)
            .map_err(|error| format!("expected UTF-8; byte {} is not", error.valid_up_to()))?;
        if text.starts_with('\u{feff}') {
            return Err("expected JSON without a byte order mark before it".into());
        }
        if text.trim_ascii().is_empty() {
            return Err("expected JSON, found an empty body".into());
        }
        check_depth(text)?;
        let value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(Self {
            pointer: String::new(),
            value,
        })
    }

    /// Its text as it was sent.
    #[must_use]
    pub fn raw(&self) -> &'a str {
        self.value.get()
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.raw() == "null"
    }

    /// Whether it is a number, however large or exact.
    #[must_use]
    pub fn is_number(&self) -> bool {
        self.raw()
            .starts_with(|c: char| c == '-' || c.is_ascii_digit())
    }

    /// Tells whether it is a string, whatever is in it.
    #[must_use]
    pub fn is_string(&self) -> bool {
        self.raw().starts_with('"')
    }

    /// `None`: it is no string, or one with half a surrogate pair.
    #[must_use]
    pub fn string(&self) -> Option<String> {
        serde_json::from_str(self.raw()).ok()
    }

    /// `None`: it is no array.
    #[must_use]
    pub fn items(&self) -> Option<Vec<Self>> {
        let items: Vec<&'a RawValue> = serde_json::from_str(self.raw()).ok()?;
        let place = |(index, value)| Self {
            pointer: format!("{}/{index}", self.pointer),
            value,
        };
        Some(items.into_iter().enumerate().map(place).collect())
    }

    /// Its members, if it is an object.
    pub fn members(&self, faults: &mut Collector) -> Option<Members<'a>> {
        match serde_json::from_str::<Pairs<'a>>(self.raw()) {
            Ok(Pairs(pairs)) => Some(Members {
                pointer: self.pointer.clone(),
                pairs,
            }),
            Err(_) => {
                let detail = match self.raw().starts_with('{') {
                    true => "a member's name has half a surrogate pair (\\ud800 to \\udfff)",
                    false => "expected an object",
                };
                faults.add(&self.pointer, detail);
                None
            }
        }
    }

    /// Appends it in a form that does not depend on how it was written: without blanks, members
    /// sorted by name, strings with as few escapes as there can be. Numbers stay as they are.
    fn write_canonical(&self, into: &mut String) {
        if let Ok(Pairs(mut pairs)) = serde_json::from_str::<Pairs<'a>>(self.raw()) {
            pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
            into.push('{');
            for (name, value) in pairs {
                into.push_str(&serde_json::Value::from(name).to_string());
                into.push(':');
                self.at(value).write_canonical(into);
                into.push(',');
            }
            into.push('}');
        } else if let Ok(items) = serde_json::from_str::<Vec<&'a RawValue>>(self.raw()) {
            into.push('[');
            for value in items {
                self.at(value).write_canonical(into);
                into.push(',');
            }
            into.push(']');
        } else if let Some(text) = self.string() {
            into.push_str(&serde_json::Value::from(text).to_string());
        } else {
            into.push_str(self.raw());
        }
    }

    /// A value within it, without a pointer to it.
    fn at(&self, value: &'a RawValue) -> Self {
        Self {
            pointer: String::new(),
            value,
        }
    }
}

/// A form of a body that is equal for equal requests, however they are written: the order of
/// members, blanks and escapes do not count. `None`: the body is not JSON.
#[must_use]
pub fn canonical(body: &[u8]) -> Option<String> {
    let root = Place::root(body).ok()?;
    let mut text = String::with_capacity(body.len());
    root.write_canonical(&mut text);
    Some(text)
}

/// The parser of raw values goes through any depth; those who walk them do not.
fn check_depth(text: &str) -> Result<(), String> {
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(format!("nested in more than {MAX_DEPTH} levels"));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// The members of an object that nobody has asked for yet.
pub struct Members<'a> {
    pointer: String,
    pairs: Vec<(String, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// The member's value; `None` when it is absent, or `null`.
    pub fn take(&mut self, name: &str) -> Option<Place<'a>> {
        let index = self.pairs.iter().position(|(key, _)| key == name)?;
        let (_, value) = self.pairs.remove(index);
        let place = Place {
            pointer: self.pointer_to(name),
            value,
        };
        (!place.is_null()).then_some(place)
    }

    /// Whether it is there still, and not `null`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let mut pairs = self.pairs.iter();
        pairs.any(|(key, value)| key == name && value.get() != "null")
    }

    /// Like [`Self::take`]; its absence is a fault.
    pub fn require(&mut self, name: &str, faults: &mut Collector) -> Option<Place<'a>> {
        let place = self.take(name);
        if place.is_none() {
            faults.add(&self.pointer_to(name), "required");
        }
        place
    }

    /// Whatever has not been taken should not be there. `known` names what may be.
    pub fn finish(self, known: &[&str], faults: &mut Collector) {
        for (name, _) in &self.pairs {
            let pointer = self.pointer_to(name);
            if known.contains(&name.as_str()) {
                faults.add(&pointer, "given more than once");
            } else {
                faults.add(
                    &pointer,
                    format!("unknown field; known are {}", known.join(", ")),
                );
            }
        }
    }

    /// The pointer to a member of this name.
    #[must_use]
    pub fn pointer_to(&self, name: &str) -> String {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        format!("{}/{escaped}", self.pointer)
    }
}

/// An object's members in the order of the text, doubles included.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}
