//! Host and port of `Host` headers, origins and URLs (RFC 3986, section 3.2).

use std::net::{IpAddr, Ipv6Addr};

/// Host in a normalized form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// IP address; an IPv4-mapped IPv6 address as IPv4.
    Address(IpAddr),
    /// Name in lower case, without a trailing dot.
    Name(String),
}

impl Host {
    /// Parses a host: a name, an IPv4 address, or an IPv6 address in brackets. `None` for
    /// anything else, such as `user@host`, `host/path` and `a..b`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let address: Ipv6Addr = rest.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.to_canonical()));
        }
        if let Ok(IpAddr::V4(address)) = text.parse() {
            return Some(Self::Address(address.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_plain);
        let is_name = name.split('.').all(is_label);
        is_name.then(|| Self::Name(name.to_ascii_lowercase()))
    }
}

/// Host with an optional port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
}

impl Authority {
    /// Parses `HOST` or `HOST:PORT`; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let end = match text.starts_with('[') {
            true => text.find(']')? + 1,
            false => text.find(':').unwrap_or(text.len()),
        };
        let (host, port) = text.split_at_checked(end)?;
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return None,
            // An empty port is the scheme's default port.
            Some("") => None,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse().ok()?)
            }
            Some(_) => return None,
        };
        Some(Self {
            host: Host::parse(host)?,
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_normalized() {
        let same = |one: &str, other: &str| {
            let (one, other) = (Authority::parse(one), Authority::parse(other));
            assert!(one.is_some() && one == other, "{one:?} {other:?}");
        };
        same("LOCALHOST", "localhost.");
        same("localhost:", "localhost");
        same("Shop.Example:8080", "shop.example.:8080");
        same("[::FFFF:127.0.0.1]:1", "127.0.0.1:1");
        same("[0:0::1]", "[::1]");
        assert_eq!(Authority::parse("a:080").expect("a port").port, Some(80));
        for text in [
            "",
            ":",
            ":80",
            ".",
            "a..b",
            ".a",
            "a..",
            "user@localhost",
            "localhost@evil.example",
            "localhost/",
            "localhost#@evil.example",
            "localhost\\@evil.example",
            "localhost evil",
            "localhost,evil.example",
            "localhost:80:80",
            "localhost:x",
            "localhost:-1",
            "localhost:+80",
            "localhost:65536",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]]",
            "[127.0.0.1]",
            "[localhost]",
            "[fe80::1%eth0]",
            "%6cocalhost",
            "lоcalhost",
            "localhost\t",
        ] {
            assert_eq!(Authority::parse(text), None, "{text:?}");
        }
        // Numeric forms that are not parsed as addresses.
        for text in [
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "127.0.0.01",
            "127.0.0.1.evil.example",
        ] {
            let found = Authority::parse(text).map(|found| found.host);
            assert!(!matches!(found, Some(Host::Address(_))), "{text}");
        }
        let dotted = Authority::parse("127.0.0.1.").map(|found| found.host);
        assert!(!matches!(dotted, Some(Host::Address(_))));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            if let Some(Authority { host: Host::Name(name), .. }) = Authority::parse(&text) {
                prop_assert!(!name.is_empty() && name.is_ascii());
                prop_assert_eq!(Host::parse(&name), Some(Host::Name(name.clone())));
            }
        }

        #[test]
        fn an_address_is_read_as_itself(bits: u128, port: u16) {
            let address = IpAddr::V6(bits.into());
            let found = Authority::parse(&format!("[{address}]:{port}"));
            let host = Host::Address(address.to_canonical());
            prop_assert_eq!(found, Some(Authority { host, port: Some(port) }));
        }
    }
}
