//! Differences between two JSON values, field by field. Values that may contain personal data
//! are shown only by their kind and length.

use serde_json::{Map, Value};

/// Maximum number of differing fields that are reported for one object; the rest is counted.
pub(super) const MAX_FIELDS: usize = 8;

/// Members without personal data that the engine puts into every document and frame.
const ENGINE_MEMBERS: &[&str] = &[
    "id",
    "number",
    "position",
    "version",
    "created_at",
    "updated_at",
    "type",
    "at",
    "operation_id",
    "code",
];

/// Field with an unexpected value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    /// Path of the field, such as `products.0.price`.
    pub(super) field: String,
    /// Expected value, redacted.
    pub(super) expected: Value,
    /// Actual value, redacted.
    pub(super) found: Value,
}

/// Rules by which values are redacted.
pub(super) struct Redaction<'a> {
    /// Paths of the domain's members that contain no personal data.
    pub(super) plain: &'a [&'a str],
    /// Member of a frame that holds a document.
    pub(super) document: &'a str,
}

impl Redaction<'_> {
    /// Returns the fields in which the values differ.
    pub(super) fn differences(&self, expected: &Value, found: &Value) -> Vec<Difference> {
        let mut all = Vec::new();
        self.walk(&mut String::new(), Some(expected), Some(found), &mut all);
        all
    }

    fn walk(
        &self,
        path: &mut String,
        expected: Option<&Value>,
        found: Option<&Value>,
        all: &mut Vec<Difference>,
    ) {
        if expected == found {
            return;
        }
        match (expected, found) {
            (Some(Value::Object(expected)), Some(Value::Object(found))) => {
                for name in names(expected, found) {
                    let (one, other) = (expected.get(name), found.get(name));
                    self.step(path, name, one, other, all);
                }
            }
            (Some(Value::Array(expected)), Some(Value::Array(found)))
                if expected.len() == found.len() =>
            {
                for (index, (one, other)) in expected.iter().zip(found).enumerate() {
                    self.step(path, &index.to_string(), Some(one), Some(other), all);
                }
            }
            _ => all.push(self.difference(path, expected, found)),
        }
    }

    fn step(
        &self,
        path: &mut String,
        name: &str,
        expected: Option<&Value>,
        found: Option<&Value>,
        all: &mut Vec<Difference>,
    ) {
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        self.walk(path, expected, found, all);
        path.truncate(length);
    }

    fn difference(
        &self,
        path: &str,
        expected: Option<&Value>,
        found: Option<&Value>,
    ) -> Difference {
        let show = |value| self.show(path, value);
        let (expected, mut found) = (show(expected), show(found));
        if expected == found {
            found = format!("another {}", found.as_str().unwrap_or("value")).into();
        }
        Difference {
            field: path.to_owned(),
            expected,
            found,
        }
    }

    /// Redacts a value.
    fn show(&self, path: &str, value: Option<&Value>) -> Value {
        match value {
            None => "absent".into(),
            Some(Value::Null) => Value::Null,
            Some(Value::Bool(truth)) => Value::Bool(*truth),
            Some(Value::Array(list)) => format!("list of {}", list.len()).into(),
            Some(Value::Object(members)) => format!("object of {} members", members.len()).into(),
            Some(plain) if self.is_plain(path) => plain.clone(),
            Some(Value::Number(_)) => "number".into(),
            Some(Value::String(text)) => kind_of_text(text).into(),
        }
    }

    fn is_plain(&self, path: &str) -> bool {
        let parts = path.split('.');
        let names: Vec<&str> = parts
            .filter(|part| part.parse::<usize>().is_err())
            .collect();
        let names = names.join(".");
        let within_document = names
            .strip_prefix(self.document)
            .and_then(|rest| rest.strip_prefix('.'));
        let name = within_document.unwrap_or(&names);
        ENGINE_MEMBERS.contains(&name) || self.plain.contains(&name)
    }
}

/// Redacted form of a text that may contain personal data.
pub(super) fn kind_of_text(text: &str) -> String {
    format!("text of {} characters", text.chars().count())
}

fn names<'a>(one: &'a Map<String, Value>, other: &'a Map<String, Value>) -> Vec<&'a str> {
    let more = other.keys().filter(|name| !one.contains_key(*name));
    one.keys().chain(more).map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const REDACTION: Redaction<'static> = Redaction {
        plain: &["total", "products.price"],
        document: "order",
    };

    fn differences(expected: &Value, found: &Value) -> Vec<(String, Value, Value)> {
        let all = REDACTION.differences(expected, found).into_iter();
        all.map(|one| (one.field, one.expected, one.found))
            .collect()
    }

    #[test]
    fn fields_are_named_and_personal_values_are_not_shown() {
        let expected = json!({ "total": "1.00", "customer": { "id": "c-1", "email": "a@b.c" },
            "products": [{ "price": "1.00", "name": "Tea" }], "note": null });
        let found = json!({ "total": "2.00", "customer": { "id": "c-1", "email": "x@y.z" },
            "products": [{ "price": "3.00", "name": "Coffee" }], "more": 7 });
        let five = json!("text of 5 characters");
        let all = [
            ("total", json!("1.00"), json!("2.00")),
            (
                "customer.email",
                five,
                json!("another text of 5 characters"),
            ),
            ("products.0.price", json!("1.00"), json!("3.00")),
            (
                "products.0.name",
                json!("text of 3 characters"),
                json!("text of 6 characters"),
            ),
            ("note", Value::Null, json!("absent")),
            ("more", json!("absent"), json!("number")),
        ];
        let all: Vec<_> = all
            .into_iter()
            .map(|(field, one, other)| (field.to_owned(), one, other))
            .collect();
        let mut found = differences(&expected, &found);
        found.sort_by_key(|one| all.iter().position(|other| other.0 == one.0));
        assert_eq!(found, all);
    }

    #[test]
    fn a_frame_shows_of_its_document_what_the_document_shows() {
        let one = json!({ "type": "order.created", "order": { "total": "1.00", "id": "a" } });
        let other = json!({ "type": "order.created", "order": { "total": "2.00", "id": "a" } });
        let expected = ("order.total".to_owned(), json!("1.00"), json!("2.00"));
        assert_eq!(differences(&one, &other), [expected]);
        assert!(!REDACTION.is_plain("order.customer.id") && !REDACTION.is_plain("customer.id"));
    }
}
