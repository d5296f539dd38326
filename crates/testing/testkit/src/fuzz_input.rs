//! Fuzz input for parsers: valid examples with a few mutations.

use proptest::prelude::*;

/// Mutation of an example: its offset, its kind, and the byte to use. All values are valid.
pub type Edit = (u16, u8, u8);

/// Returns a strategy of up to five mutations, for a property test.
pub fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(any::<Edit>(), 0..6)
}

/// Text that parsers often handle wrongly.
const EDGE_CASES: [&str; 14] = [
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
/// Maximum number of bytes that a mutation duplicates.
const MAX_SPAN: usize = 8;

/// Applies the mutations to one of the examples, which `which` selects.
///
/// # Panics
/// If `examples` is empty.
#[must_use]
pub fn mutate(examples: &[&str], which: u8, edits: &[Edit]) -> Vec<u8> {
    let example = examples[usize::from(which) % examples.len()];
    let mut bytes = example.as_bytes().to_vec();
    for (offset, kind, byte) in edits {
        let at = usize::from(*offset) % (bytes.len() + 1);
        match kind % 6 {
            0 if at < bytes.len() => bytes[at] = *byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.insert(at, *byte),
            3 => {
                let span = bytes[at..]
                    .iter()
                    .take(MAX_SPAN)
                    .copied()
                    .collect::<Vec<u8>>();
                bytes.splice(at..at, span);
            }
            4 => {
                let text = EDGE_CASES[usize::from(*byte) % EDGE_CASES.len()];
                bytes.splice(at..at, text.bytes());
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}
