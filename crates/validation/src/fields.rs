//! Kinds of values that many bodies are made of.

use std::ops::RangeInclusive;

use bakehouse_engine::Timestamp;

use crate::{Collector, ExactDecimal, Place, is_blank, unfit_character};

/// Text of 1 to `most` characters, not blank, without control characters and characters that
/// are not seen.
pub fn text(place: &Place<'_>, most: usize, faults: &mut Collector) -> Option<String> {
    let Some(text) = place.string() else {
        let detail = match place.is_string() {
            true => "expected text; it has half a surrogate pair (\\ud800 to \\udfff)",
            false => "expected text",
        };
        faults.add(&place.pointer, detail);
        return None;
    };
    if text.trim().is_empty() || text.chars().count() > most {
        faults.add(
            &place.pointer,
            format!("expected text of 1 to {most} characters"),
        );
        return None;
    }
    if let Some(fault) = unfit_character(&text) {
        faults.add(&place.pointer, fault);
        return None;
    }
    if is_blank(&text) {
        faults.add(&place.pointer, "must have something that can be seen");
        return None;
    }
    Some(text)
}

/// One of these words, and what it stands for.
pub fn one_of<T: Copy>(
    place: &Place<'_>,
    known: &[(&str, T)],
    faults: &mut Collector,
) -> Option<T> {
    let text = place.string();
    let found = known
        .iter()
        .find(|(word, _)| Some(*word) == text.as_deref());
    if found.is_none() {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        faults.add(
            &place.pointer,
            format!("expected one of {}", words.join(", ")),
        );
    }
    found.map(|(_, value)| *value)
}

/// RFC 3339 with an offset.
pub fn time(place: &Place<'_>, faults: &mut Collector) -> Option<Timestamp> {
    let time = place.string().and_then(|text| Timestamp::parse(&text).ok());
    if time.is_none() {
        faults.add(
            &place.pointer,
            "expected a time of RFC 3339, such as 2026-01-31T12:00:00Z",
        );
    }
    time
}

/// A whole number within a range, however it is written: `2`, `2.0` and `2e0` are
/// one number in JSON.
pub fn whole_number(
    place: &Place<'_>,
    range: RangeInclusive<i64>,
    faults: &mut Collector,
) -> Option<i64> {
    let number = place.is_number().then(|| whole(place.raw())).flatten();
    let number = number.filter(|number| range.contains(number));
    if number.is_none() {
        let (least, most) = (range.start(), range.end());
        faults.add(
            &place.pointer,
            format!("expected a whole number from {least} to {most}"),
        );
    }
    number
}

fn whole(text: &str) -> Option<i64> {
    ExactDecimal::parse(text)?.as_integer()
}
