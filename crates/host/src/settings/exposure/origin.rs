//! Origins of pages that may use the API from a browser (CORS).

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use url::{Host, Url};

/// Origin as browsers send it (RFC 6454, section 6.2): scheme, host, and the port unless it is the
/// default of the scheme; or `*` for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin(String);

impl AllowedOrigin {
    /// Returns true for `*`.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }
}

impl FromStr for AllowedOrigin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = |what: &str| {
            format!("{text:?} {what}: expected SCHEME://HOST[:PORT], such as https://shop.example")
        };
        let origin = text.trim();
        if origin == "*" {
            return Ok(Self(origin.to_owned()));
        }
        if origin == "null" {
            return Err(expected("is the origin of any sandboxed page"));
        }
        let (scheme, rest) = origin
            .split_once("://")
            .ok_or_else(|| expected("has no scheme"))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '\\', '?', '#']) {
            return Err(expected("has a path"));
        }
        if authority.contains('@') {
            return Err(expected("has a user"));
        }
        if authority.contains('*') {
            return Err(expected(
                "has a wildcard; list each origin, or use * for any",
            ));
        }
        if authority.contains(char::is_whitespace) {
            return Err(expected("is not an origin"));
        }
        if scheme.eq_ignore_ascii_case("ws") || scheme.eq_ignore_ascii_case("wss") {
            return Err(expected("has a websocket scheme; pages have http or https"));
        }
        let url = Url::parse(&format!("{scheme}://{authority}"));
        let url = url.map_err(|_| expected("is not an origin"))?;
        // Schemes of extensions and apps have no default port, and hosts in any form.
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_ascii_lowercase(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => format!("[{address}]"),
            _ => return Err(expected("has no host")),
        };
        let port = url
            .port()
            .map_or_else(String::new, |port| format!(":{port}"));
        Ok(Self(format!("{}://{host}{port}", url.scheme())))
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Serialize for AllowedOrigin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_normalized_as_browsers_send_them() {
        for (text, expected) in [
            ("https://shop.example", "https://shop.example"),
            (" HTTPS://Shop.Example:443/ ", "https://shop.example"),
            ("http://shop.example:80", "http://shop.example"),
            ("http://shop.example:443", "http://shop.example:443"),
            ("http://localhost:3000/", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("chrome-extension://AbC", "chrome-extension://abc"),
            ("*", "*"),
        ] {
            let origin: AllowedOrigin = text.parse().expect(text);
            assert_eq!(origin.to_string(), expected);
        }
        for text in [
            "",
            "shop.example",
            "shop.example:8080",
            "//shop.example",
            "http:/shop.example",
            "https://",
            "https:///",
            "https://shop.example/app",
            "https://shop.example//",
            "https://shop.example?a",
            "https://shop.example#a",
            "https://u:p@shop.example",
            "https://*.shop.example",
            "null",
            "file:///",
            "wss://shop.example",
            "https://a b",
            "https://shop.example:99999",
            "https://a\\b",
        ] {
            let error = text.parse::<AllowedOrigin>().expect_err(text);
            assert!(error.contains("such as https://shop.example"), "{error}");
        }
    }
}
