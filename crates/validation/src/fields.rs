//! Readers of common kinds of values.

use std::ops::RangeInclusive;

use bakehouse_engine::Timestamp;

use crate::{ErrorCollector, ExactDecimal, JsonNode, forbidden_character, is_blank};

/// Reads text of 1 to `most` characters that is not blank and has no control characters or
/// invisible characters.
pub fn text(node: &JsonNode<'_>, most: usize, faults: &mut ErrorCollector) -> Option<String> {
    let Some(text) = node.string() else {
        let detail = match node.is_string() {
            true => "expected text; it has an unpaired surrogate (\\ud800 to \\udfff)",
            false => "expected text",
        };
        faults.add(&node.pointer, detail);
        return None;
    };
    if text.trim().is_empty() || text.chars().count() > most {
        faults.add(
            &node.pointer,
            format!("expected text of 1 to {most} characters"),
        );
        return None;
    }
    if let Some(fault) = forbidden_character(&text) {
        faults.add(&node.pointer, fault);
        return None;
    }
    if is_blank(&text) {
        faults.add(&node.pointer, "must contain a visible character");
        return None;
    }
    Some(text)
}

/// Reads one of the known words and returns its value.
pub fn one_of<T: Copy>(
    node: &JsonNode<'_>,
    known: &[(&str, T)],
    faults: &mut ErrorCollector,
) -> Option<T> {
    let text = node.string();
    let found = known
        .iter()
        .find(|(word, _)| Some(*word) == text.as_deref());
    if found.is_none() {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        faults.add(
            &node.pointer,
            format!("expected one of {}", words.join(", ")),
        );
    }
    found.map(|(_, value)| *value)
}

/// Reads a time of RFC 3339 with an offset.
pub fn time(node: &JsonNode<'_>, faults: &mut ErrorCollector) -> Option<Timestamp> {
    let time = node.string().and_then(|text| Timestamp::parse(&text).ok());
    if time.is_none() {
        faults.add(
            &node.pointer,
            "expected a time of RFC 3339, such as 2026-01-31T12:00:00Z",
        );
    }
    time
}

/// Reads a whole number within a range, in any spelling: `2`, `2.0` and `2e0` are the same
/// number in JSON.
pub fn whole_number(
    node: &JsonNode<'_>,
    range: RangeInclusive<i64>,
    faults: &mut ErrorCollector,
) -> Option<i64> {
    let number = node
        .is_number()
        .then(|| parse_integer(node.raw()))
        .flatten();
    let number = number.filter(|number| range.contains(number));
    if number.is_none() {
        let (least, most) = (range.start(), range.end());
        faults.add(
            &node.pointer,
            format!("expected a whole number from {least} to {most}"),
        );
    }
    number
}

fn parse_integer(text: &str) -> Option<i64> {
    ExactDecimal::parse(text)?.as_integer()
}
