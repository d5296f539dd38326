//! Walking JSON text without ever turning a number into a binary float, and
//! without losing a member that is there twice.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::fault::Collector;

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
    /// Where it stops being JSON.
    pub fn root(body: &'a [u8]) -> Result<Self, String> {
        let value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
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
                faults.add(&self.pointer, "expected an object");
                None
            }
        }
    }
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
