//! Lists that somebody almost asks for.

use bakehouse_testkit::mangle::{edits, mangle};
use proptest::prelude::*;

use super::cursor::Cursor;

const CURSORS: [&str; 3] = [
    "1f-0123456789abcdef",
    "ffffffffffffffff-0123456789abcdef",
    "0-",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn cursors(which: u8, edits in edits()) {
        let bytes = mangle(&CURSORS, which, &edits);
        match Cursor::parse(&String::from_utf8_lossy(&bytes)) {
            Ok(cursor) => {
                let again = Cursor::parse(&cursor.to_string());
                assert_eq!(again.as_ref(), Ok(&cursor));
            }
            Err(why) => assert!(!why.is_empty()),
        }
    }
}
