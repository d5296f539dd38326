//! Bytes that are almost what a parser expects: an example with a few things done to it.

use proptest::prelude::*;

/// One thing done to an example: where, what, and with which byte. Any three numbers will
/// do.
pub type Edit = (u16, u8, u8);

/// Up to five of them, for a property test.
pub fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(any::<Edit>(), 0..6)
}

/// What parsers stumble over.
const AWKWARD: [&str; 14] = [
    "null",
    "-0",
    "1e999",
    "18446744073709551616",
    "0.1e-400",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "{}",
    "[[[[[[[[",
    "true",
    "\"\"",
    "\u{feff}",
    "%ff",
    "\"9999-12-31T23:59:60+24:00\"",
];
/// Of what is doubled, so many bytes.
const SPAN: usize = 8;

/// One of the examples, with all of that done to it.
///
/// # Panics
/// When there is no example.
#[must_use]
pub fn mangle(examples: &[&str], which: u8, edits: &[Edit]) -> Vec<u8> {
    let example = examples[usize::from(which) % examples.len()];
    let mut bytes = example.as_bytes().to_vec();
    for (place, what, byte) in edits {
        let at = usize::from(*place) % (bytes.len() + 1);
        match what % 6 {
            0 if at < bytes.len() => bytes[at] = *byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.insert(at, *byte),
            3 => {
                let span = bytes[at..].iter().take(SPAN).copied().collect::<Vec<u8>>();
                bytes.splice(at..at, span);
            }
            4 => {
                let word = AWKWARD[usize::from(*byte) % AWKWARD.len()];
                bytes.splice(at..at, word.bytes());
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}
