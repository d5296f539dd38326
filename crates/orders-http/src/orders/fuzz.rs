//! Property tests of list cursors with mutated input.

use bakehouse_testkit::cases::cases;
use bakehouse_testkit::fuzz_input::{edits, mutate};
use proptest::prelude::*;

use super::cursor::Cursor;

const CURSORS: [&str; 3] = [
    "1f-0123456789abcdef",
    "ffffffffffffffff-0123456789abcdef",
    "0-",
];

proptest! {
    #![proptest_config(cases(4_000))]

    /// Checks that exactly the texts of a hexadecimal number, a hyphen and a fingerprint are cursors.
    #[test]
    fn cursors(which: u8, edits in edits()) {
        let bytes = mutate(&CURSORS, which, &edits);
        let text = String::from_utf8_lossy(&bytes);
        let number = text.split_once('-').map(|(number, _)| number.trim_start_matches('+'));
        let is_number = |digits: &str| {
            let significant = digits.trim_start_matches('0').len();
            !digits.is_empty() && significant <= 16 && digits.bytes().all(|b| b.is_ascii_hexdigit())
        };
        match Cursor::parse(&text) {
            Ok(cursor) => {
                prop_assert!(number.is_some_and(is_number), "{}", text);
                let written = Cursor::parse(&cursor.to_string());
                prop_assert_eq!(written.as_ref(), Ok(&cursor));
            }
            Err(why) => {
                prop_assert!(!why.is_empty());
                prop_assert!(!number.is_some_and(is_number), "{}", text);
            }
        }
    }
}
