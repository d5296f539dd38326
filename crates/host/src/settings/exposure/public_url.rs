//! Public URL of the API, as clients see it behind a proxy.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::Url;

/// URL of the API for clients: scheme, host, port and path prefix, without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Url);

impl PublicUrl {
    /// Returns the URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = |what: &str| {
            format!("{text:?} {what}: expected a URL, such as https://shop.example/orders")
        };
        let text = text.trim();
        let is_http = |url: &Url| matches!(url.scheme(), "http" | "https");
        let url = Url::parse(text).ok().filter(is_http);
        let mut url = url
            .filter(|_| text.contains("://"))
            .ok_or_else(|| expected("is not an HTTP URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(expected("has a user"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(expected("has a query or a fragment"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if path.contains("//") {
            return Err(expected("has an empty path segment"));
        }
        url.set_path(&path);
        Ok(Self(url))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl Serialize for PublicUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls_are_normalized() {
        for (text, expected) in [
            ("https://shop.example", "https://shop.example"),
            (" HTTPS://Shop.Example:443/ ", "https://shop.example"),
            (
                "http://shop.example:8080/Orders//",
                "http://shop.example:8080/Orders",
            ),
            ("https://shop.example/a/../b/", "https://shop.example/b"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            let url: PublicUrl = text.parse().expect(text);
            assert_eq!(url.to_string(), expected);
        }
        for text in [
            "",
            "shop.example",
            "/orders",
            "//shop.example",
            "ftp://shop.example",
            "https://u@shop.example",
            "https://shop.example?a=1",
            "https://shop.example#a",
            "https://shop.example/a//b",
            "http:/shop.example",
            "https://",
        ] {
            let error = text.parse::<PublicUrl>().expect_err(text);
            assert!(
                error.contains("such as https://shop.example/orders"),
                "{error}"
            );
        }
    }
}
