//! Files that are almost settings.

use std::io::Write;

use bakehouse_testkit::mangle::{edits, mangle};
use proptest::prelude::*;

use super::Settings;

const FILES: [&str; 3] = [
    "instance = \"a\"\nmode = \"memory\"\n[http]\nbind = \"127.0.0.1:0\"\nbody_limit = 65536\n",
    "[manager]\npoll_interval = \"200ms\"\nmax_batch = 500\nlease_ttl = \"1500ms\"\n",
    "[follow]\nusers = \"http://127.0.0.1:1\"\n[orders]\ncurrency = \"EUR\"\n[webhook]\nurls = [\"https://a.example\"]\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Taken, or refused with a sentence.
    #[test]
    fn files(which: u8, edits in edits()) {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&mangle(&FILES, which, &edits)).expect("written");
        if let Err(error) = Settings::load(Some(file.path())) {
            assert!(!format!("{error:#}").is_empty());
        }
    }
}
