//! Proxies whose forwarding headers are trusted, and the client for which they forward.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::http::header::{self, HeaderMap, HeaderName};

/// Range of addresses, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Creates the range of addresses whose first `prefix` bits are those of `address`.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        Self { address, prefix }
    }

    fn contains(self, other: IpAddr) -> bool {
        masked(self.address, self.prefix) == masked(other, self.prefix)
    }
}

/// Clears all bits of an address after the prefix.
pub(crate) fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let host_bits = 32_u32.saturating_sub(prefix.into());
            let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let host_bits = 128_u32.saturating_sub(prefix.into());
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

/// Proxies whose `X-Forwarded-…` and `Forwarded` headers are trusted.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Creates the set of proxies in these networks.
    #[must_use]
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Checks whether the address is that of a trusted proxy.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }

    /// Returns the address of the client for which a connection's peer forwards: the last address
    /// in `X-Forwarded-For` or `Forwarded` that is not a trusted proxy's.
    ///
    /// Only the part of a header that trusted proxies wrote is used. If both headers are present
    /// and differ, one of them was sent by the client: the result is then the proxy's address.
    pub(crate) fn client_of(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contains(peer) {
            return peer;
        }
        let plain = forwarded_for(headers).map(|hops| self.first_untrusted(peer, &hops));
        let standard = forwarded(headers).map(|hops| self.first_untrusted(peer, &hops));
        match (plain, standard) {
            (Some(one), Some(other)) if one != other => peer,
            (Some(client), _) | (None, Some(client)) => client,
            (None, None) => peer,
        }
    }

    /// Returns the nearest hop that is not a trusted proxy. A malformed hop ends the search at the
    /// proxy that wrote it.
    fn first_untrusted(&self, peer: IpAddr, hops: &[Option<IpAddr>]) -> IpAddr {
        let mut known = peer;
        for hop in hops.iter().rev() {
            let Some(hop) = hop else { return known };
            known = *hop;
            if !self.contains(known) {
                break;
            }
        }
        known
    }
}

/// Returns the hops of all `X-Forwarded-For` headers, the nearest last; `None` if there is no
/// such header.
fn forwarded_for(headers: &HeaderMap) -> Option<Vec<Option<IpAddr>>> {
    const NAME: HeaderName = header::X_FORWARDED_FOR;
    hops(headers, &NAME, |text| text.split(',').map(node).collect())
}

/// Returns the hops of all `Forwarded` headers (RFC 7239), the nearest last; `None` if there is
/// no such header.
fn forwarded(headers: &HeaderMap) -> Option<Vec<Option<IpAddr>>> {
    const NAME: HeaderName = header::FORWARDED;
    hops(headers, &NAME, |text| {
        let elements = split_outside_quotes(text, ',');
        elements
            .into_iter()
            .map(|element| {
                let pairs = split_outside_quotes(element, ';');
                let mut pairs = pairs.into_iter().filter_map(|pair| pair.split_once('='));
                let is_for = |(name, _): &(&str, &str)| name.trim().eq_ignore_ascii_case("for");
                pairs.find(is_for).and_then(|(_, value)| node(value))
            })
            .collect()
    })
}

fn hops(
    headers: &HeaderMap,
    name: &HeaderName,
    parse: impl Fn(&str) -> Vec<Option<IpAddr>>,
) -> Option<Vec<Option<IpAddr>>> {
    if !headers.contains_key(name) {
        return None;
    }
    let texts = headers.get_all(name).map(|value| value.to_str());
    // A value that is not ASCII text is a malformed hop.
    Some(
        texts
            .flat_map(|text| text.map_or_else(|_| vec![None], &parse))
            .collect(),
    )
}

/// Splits a text at separators outside of quoted strings.
fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if letter == separator && !is_quoted => {
                parts.push(&text[start..at]);
                start = at + letter.len_utf8();
            }
            _ => (),
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Parses the address of a hop: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or
/// `[2001:db8::1]:80`, with or without quotes; `None` for anything else, such as `unknown`.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let text = quoted.unwrap_or(text);
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        is_port.then(|| address.parse::<Ipv6Addr>().ok().map(IpAddr::V6))?
    } else if let Ok(address) = text.parse::<IpAddr>() {
        Some(address)
    } else {
        let (address, port) = text.split_once(':')?;
        is_port(port).then(|| address.parse().ok().map(IpAddr::V4))?
    };
    address.map(|address| address.to_canonical())
}

/// Checks whether the text is a port or an obfuscated one (RFC 7239, section 6).
fn is_port(text: &str) -> bool {
    let is_plain = |letter: u8| letter.is_ascii_alphanumeric() || b"._-".contains(&letter);
    !text.is_empty() && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn trusted() -> TrustedProxies {
        let networks = [("127.0.0.1", 32), ("10.0.0.0", 8), ("fd00::", 8)];
        TrustedProxies::new(
            networks
                .map(|(text, bits)| Network::new(ip(text), bits))
                .into(),
        )
    }

    fn client(peer: &str, lines: &[(HeaderName, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.clone(), HeaderValue::from_str(value).expect("a value"));
        }
        trusted().client_of(ip(peer), &headers).to_string()
    }

    #[test]
    fn only_hops_written_by_trusted_proxies_are_used() {
        let plain = header::X_FORWARDED_FOR;
        for (peer, value, expected) in [
            // An untrusted peer.
            ("192.0.2.9", "1.1.1.1", "192.0.2.9"),
            ("127.0.0.1", "1.1.1.1", "1.1.1.1"),
            ("::ffff:127.0.0.1", "1.1.1.1", "1.1.1.1"),
            // Hops before the first untrusted one may be forged by it.
            ("127.0.0.1", "6.6.6.6, 1.1.1.1", "1.1.1.1"),
            ("127.0.0.1", "6.6.6.6, 1.1.1.1 , 10.1.2.3", "1.1.1.1"),
            ("127.0.0.1", "127.0.0.1, 1.1.1.1, 10.1.2.3", "1.1.1.1"),
            ("127.0.0.1", "10.0.0.1, 10.0.0.2", "10.0.0.1"),
            ("127.0.0.1", "1.1.1.1:443", "1.1.1.1"),
            ("127.0.0.1", "[2001:db8::1]:443, fd00::7", "2001:db8::1"),
            ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
            ("127.0.0.1", "::ffff:1.1.1.1", "1.1.1.1"),
            ("127.0.0.1", "1.1.1.1, unknown", "127.0.0.1"),
            ("127.0.0.1", "1.1.1.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("127.0.0.1", "1.1.1.1,", "127.0.0.1"),
            ("127.0.0.1", "", "127.0.0.1"),
            ("127.0.0.1", "1.1.1.1@2.2.2.2", "127.0.0.1"),
        ] {
            assert_eq!(client(peer, &[(plain.clone(), value)]), expected, "{value}");
        }
        let lines = [(plain.clone(), "6.6.6.6"), (plain, "1.1.1.1, 10.0.0.1")];
        assert_eq!(client("127.0.0.1", &lines), "1.1.1.1");
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn the_standard_header_is_read_as_well() {
        for (value, expected) in [
            ("for=1.1.1.1", "1.1.1.1"),
            ("For=\"1.1.1.1:80\";proto=https;by=10.0.0.1", "1.1.1.1"),
            ("for=6.6.6.6, for=1.1.1.1;host=a, for=10.0.0.1", "1.1.1.1"),
            ("for=\"[2001:db8::1]:_port\"", "2001:db8::1"),
            ("for=_hidden", "127.0.0.1"),
            ("proto=https", "127.0.0.1"),
            ("for=1.1.1.1;ext=\"a,for=6.6.6.6\"", "1.1.1.1"),
            ("for=\"6.6.6.6, for=1.1.1.1", "127.0.0.1"),
        ] {
            assert_eq!(
                client("127.0.0.1", &[(header::FORWARDED, value)]),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn conflicting_headers_lead_to_the_proxy() {
        let both = |plain, standard| {
            let lines = [
                (header::X_FORWARDED_FOR, plain),
                (header::FORWARDED, standard),
            ];
            client("127.0.0.1", &lines)
        };
        assert_eq!(both("1.1.1.1", "for=1.1.1.1"), "1.1.1.1");
        assert_eq!(both("1.1.1.1", "for=6.6.6.6"), "127.0.0.1");
        assert_eq!(both("6.6.6.6", "for=1.1.1.1"), "127.0.0.1");
    }

    proptest! {
        #[test]
        fn no_forged_header_hides_the_untrusted_hop(text in "[ -~]{0,60}") {
            let value = format!("{text}, 192.0.2.1");
            let found = client("10.0.0.1", &[(header::X_FORWARDED_FOR, &value)]);
            prop_assert_eq!(found, "192.0.2.1");
        }

        #[test]
        fn a_network_has_exactly_the_addresses_with_its_prefix(
            one: u32, other: u32, prefix in 0_u8..=32
        ) {
            let network = Network::new(IpAddr::V4(one.into()), prefix);
            let is_same = prefix == 0 || (one ^ other) >> (32 - u32::from(prefix)) == 0;
            prop_assert_eq!(network.contains(IpAddr::V4(other.into())), is_same);
            prop_assert!(!network.contains(IpAddr::V6(u128::from(other).into())));
        }
    }
}
