//! Networks of trusted proxies.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Range of addresses (`10.0.0.0/8`), or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Address within the range.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Number of leading bits that all addresses of the range share.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    fn is_single_address(self) -> bool {
        self.prefix == bits(self.address)
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const IPV4_IN_IPV6: u8 = 96;
        let expected =
            || format!("{text:?}: expected an address or a network, such as 10.0.0.0/8 or ::1");
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| expected())?;
        let max_prefix = bits(address);
        let is_number = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = match prefix {
            None => max_prefix,
            Some(prefix) => Some(prefix)
                .filter(is_number)
                .and_then(|prefix| prefix.parse().ok())
                .filter(|prefix| *prefix <= max_prefix)
                .ok_or_else(expected)?,
        };
        let canonical = address.to_canonical();
        let prefix = if canonical.is_ipv4() && address.is_ipv6() {
            prefix.checked_sub(IPV4_IN_IPV6).ok_or_else(expected)?
        } else {
            prefix
        };
        if prefix == 0 {
            return Err(format!(
                "{text:?} contains every address, so that any client could forge its address: list \
                 the proxies, such as 10.0.0.0/8"
            ));
        }
        Ok(Self {
            address: canonical,
            prefix,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single_address() {
            return self.address.fmt(out);
        }
        write!(out, "{}/{}", self.address, self.prefix)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_parsed_and_printed() {
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            (" 127.0.0.1 ", "127.0.0.1"),
            ("127.0.0.1/32", "127.0.0.1"),
            ("::1", "::1"),
            ("FD00::/8", "fd00::/8"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
        ] {
            let network: Network = text.parse().expect(text);
            assert_eq!(network.to_string(), expected);
        }
        for text in [
            "",
            "proxy",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::1/129",
            "0.0.0.0/0",
            "::/0",
            "::ffff:10.0.0.0/8",
            "[::1]",
            "10.0.0.1:80",
        ] {
            let error = text.parse::<Network>().expect_err(text);
            assert!(error.contains("10.0.0.0/8"), "{error}");
        }
    }
}
