//! Access to JSON text that keeps numbers exact and duplicate members visible.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::fault::ErrorCollector;
use crate::syntax;

/// Maximum nesting depth of arrays and objects in a body.
pub const MAX_DEPTH: usize = 32;

/// JSON value with its pointer in the body.
#[derive(Clone, Debug)]
pub struct JsonNode<'a> {
    /// JSON pointer of the value (RFC 6901).
    pub pointer: String,
    value: &'a RawValue,
}

impl<'a> JsonNode<'a> {
    /// Parses a body.
    ///
    /// # Errors
    /// A message for the sender if the body is not JSON in UTF-8 (RFC 8259), or is nested deeper
    /// than [`MAX_DEPTH`].
    pub fn root(body: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body)
            .map_err(|error| format!("expected UTF-8; byte {} is invalid", error.valid_up_to()))?;
        if text.starts_with('\u{feff}') {
            return Err("expected JSON without a byte order mark".into());
        }
        if text.trim_ascii().is_empty() {
            return Err("expected JSON, found an empty body".into());
        }
        check_depth(text)?;
        let value = serde_json::from_str(text).map_err(|error| syntax::describe(&error, text))?;
        Ok(Self {
            pointer: String::new(),
            value,
        })
    }

    /// Returns the text of the value as it was sent.
    #[must_use]
    pub fn raw(&self) -> &'a str {
        self.value.get()
    }

    /// Checks whether the value is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.raw() == "null"
    }

    /// Checks whether the value is a number of any size and precision.
    #[must_use]
    pub fn is_number(&self) -> bool {
        self.raw()
            .starts_with(|c: char| c == '-' || c.is_ascii_digit())
    }

    /// Checks whether the value is a string, valid or not.
    #[must_use]
    pub fn is_string(&self) -> bool {
        self.raw().starts_with('"')
    }

    /// Returns the string; `None` if the value is not a string, or has an unpaired surrogate.
    #[must_use]
    pub fn string(&self) -> Option<String> {
        serde_json::from_str(self.raw()).ok()
    }

    /// Returns the items; `None` if the value is not an array.
    #[must_use]
    pub fn items(&self) -> Option<Vec<Self>> {
        let items: Vec<&'a RawValue> = serde_json::from_str(self.raw()).ok()?;
        let item = |(index, value)| Self {
            pointer: format!("{}/{index}", self.pointer),
            value,
        };
        Some(items.into_iter().enumerate().map(item).collect())
    }

    /// Returns the members. Adds an error and returns `None` if the value is not an object.
    pub fn members(&self, faults: &mut ErrorCollector) -> Option<Members<'a>> {
        match serde_json::from_str::<Pairs<'a>>(self.raw()) {
            Ok(Pairs(pairs)) => Some(Members {
                pointer: self.pointer.clone(),
                pairs,
            }),
            Err(_) => {
                let detail = match self.raw().starts_with('{') {
                    true => "a member's name has an unpaired surrogate (\\ud800 to \\udfff)",
                    false => "expected an object",
                };
                faults.add(&self.pointer, detail);
                None
            }
        }
    }

    /// Appends the canonical form: without whitespace, members sorted by name, strings with as few
    /// escapes as possible. Numbers are kept as they were sent.
    fn write_canonical(&self, out: &mut String) {
        if let Ok(Pairs(mut pairs)) = serde_json::from_str::<Pairs<'a>>(self.raw()) {
            pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
            out.push('{');
            for (name, value) in pairs {
                out.push_str(&serde_json::Value::from(name).to_string());
                out.push(':');
                self.nested(value).write_canonical(out);
                out.push(',');
            }
            out.push('}');
        } else if let Ok(items) = serde_json::from_str::<Vec<&'a RawValue>>(self.raw()) {
            out.push('[');
            for value in items {
                self.nested(value).write_canonical(out);
                out.push(',');
            }
            out.push(']');
        } else if let Some(text) = self.string() {
            out.push_str(&serde_json::Value::from(text).to_string());
        } else {
            out.push_str(self.raw());
        }
    }

    /// Creates a nested value without a pointer.
    fn nested(&self, value: &'a RawValue) -> Self {
        Self {
            pointer: String::new(),
            value,
        }
    }
}

/// Returns the canonical form of a body, which does not depend on the order of members,
/// whitespace and escapes. `None` if the body is not JSON.
#[must_use]
pub fn canonical(body: &[u8]) -> Option<String> {
    let root = JsonNode::root(body).ok()?;
    let mut text = String::with_capacity(body.len());
    root.write_canonical(&mut text);
    Some(text)
}

/// Checks the nesting depth, which the parser of raw values does not limit.
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
                    return Err(format!("nested deeper than {MAX_DEPTH} levels"));
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Members of an object that were not taken yet.
pub struct Members<'a> {
    pointer: String,
    pairs: Vec<(String, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// Takes a member; `None` if it is absent or `null`.
    pub fn take(&mut self, name: &str) -> Option<JsonNode<'a>> {
        let index = self.pairs.iter().position(|(key, _)| key == name)?;
        let (_, value) = self.pairs.remove(index);
        let node = JsonNode {
            pointer: self.pointer_to(name),
            value,
        };
        (!node.is_null()).then_some(node)
    }

    /// Checks whether a member was not taken yet and is not `null`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        let mut pairs = self.pairs.iter();
        pairs.any(|(key, value)| key == name && value.get() != "null")
    }

    /// Takes a member like [`Self::take`]; adds an error if it is absent.
    pub fn require(&mut self, name: &str, faults: &mut ErrorCollector) -> Option<JsonNode<'a>> {
        let node = self.take(name);
        if node.is_none() {
            faults.add(&self.pointer_to(name), "required");
        }
        node
    }

    /// Adds an error for each member that was not taken: a duplicate if its name is in `known`, an
    /// unknown member otherwise.
    pub fn finish(self, known: &[&str], faults: &mut ErrorCollector) {
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

    /// Returns the JSON pointer of a member of this name.
    #[must_use]
    pub fn pointer_to(&self, name: &str) -> String {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        format!("{}/{escaped}", self.pointer)
    }
}

/// Members of an object in the order of the text, including duplicates.
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
