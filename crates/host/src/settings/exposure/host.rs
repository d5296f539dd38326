//! Host names that the HTTP server accepts.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use url::Host;

/// Host that a `Host` header may name: a name, an address, or all names below one
/// (`*.shop.example`). Normalized to lower case and A-labels, without a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost(String);

impl FromStr for AllowedHost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = |what: &str| {
            format!("{text:?} {what}: expected a host, such as shop.example or 192.0.2.1")
        };
        let host = text.trim();
        if host == "*" {
            return Err(format!(
                "{text:?} would let pages of any site use the server by DNS rebinding: list the \
                 hosts, such as shop.example, or require tokens (auth.jwks)"
            ));
        }
        if host.contains('/') {
            return Err(expected("is a URL"));
        }
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(host).parse::<IpAddr>() {
            return Ok(Self(address.to_canonical().to_string()));
        }
        if host.contains(':') {
            return Err(expected("has a port; remove it, all ports are allowed"));
        }
        let (wildcard, name) = match host.strip_prefix("*.") {
            Some(name) => ("*.", name),
            None => ("", host),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        match Host::parse(name) {
            Ok(Host::Domain(name)) if is_name(&name) => Ok(Self(format!("{wildcard}{name}"))),
            _ => Err(expected("is not a host")),
        }
    }
}

/// Checks whether all labels of a name are valid.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(is_plain)
    };
    name.split('.').all(is_label)
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Serialize for AllowedHost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_normalized() {
        for (text, expected) in [
            ("shop.example", "shop.example"),
            (" Shop.EXAMPLE. ", "shop.example"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("api_1", "api_1"),
            ("*.Shop.example", "*.shop.example"),
            ("*.localhost", "*.localhost"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            let host: AllowedHost = text.parse().expect(text);
            assert_eq!(host.to_string(), expected);
        }
        for text in [
            "",
            "*",
            "*.",
            "a..b",
            ".a",
            "shop.example:80",
            "https://shop.example",
            "a b",
            "user@shop.example",
            "shop.example/",
            "*.*.a",
            "a*",
            "[::1",
            "[::1]:80",
        ] {
            let error = text.parse::<AllowedHost>().expect_err(text);
            assert!(error.contains("shop.example"), "{error}");
        }
    }
}
