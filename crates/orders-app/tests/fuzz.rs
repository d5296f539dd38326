//! Mangled settings files are accepted as they are, or rejected with an error.

use std::io::Write;

use bakehouse_testkit::cases::cases;
use bakehouse_testkit::fuzz_input::{edits, mutate};
use proptest::prelude::*;

use bakehouse_host::Configuration;
use bakehouse_orders_app::OrdersSettings;

const FILES: [&str; 3] = [
    "instance = \"a\"\nmode = \"memory\"\n[http]\nbind = \"127.0.0.1:0\"\nbody_limit = 65536\n",
    "[manager]\npoll_interval = \"200ms\"\nmax_batch = 500\nlease_ttl = \"1500ms\"\n",
    "[follow]\nusers = \"http://127.0.0.1:1\"\n[orders]\ncurrency = \"EUR\"\n[webhook]\nurls = [\"https://a.example\"]\n\
     secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n",
];

proptest! {
    #![proptest_config(cases(1_000))]

    /// Settings have the values of the file, or the error has a text.
    #[test]
    fn files(which: u8, edits in edits()) {
        let bytes = mutate(&FILES, which, &edits);
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&bytes).expect("written");
        let table = std::str::from_utf8(&bytes).ok();
        let table = table.and_then(|text| text.parse::<toml::Table>().ok());
        match Configuration::<OrdersSettings>::load(Some(file.path())) {
            Ok((configuration, _)) => {
                let table = table.expect("accepted files are TOML");
                let text = |section: &str, name: &str| {
                    table.get(section).and_then(|of| of.get(name)?.as_str().map(str::to_owned))
                };
                if let Some(instance) = table.get("instance").and_then(|one| one.as_str()) {
                    prop_assert_eq!(&configuration.host.instance, instance);
                }
                if let Some(currency) = text("orders", "currency") {
                    prop_assert_eq!(String::from(configuration.domain.orders.currency), currency);
                }
                if let Some(bind) = text("http", "bind") {
                    prop_assert_eq!(Some(configuration.host.http.bind), bind.parse().ok());
                }
            }
            Err(error) => {
                prop_assert!(!error.to_string().is_empty());
                prop_assert!(!edits.is_empty(), "{:#}", error);
            }
        }
    }
}
