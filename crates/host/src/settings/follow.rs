//! Section `follow`: feeds of other services, their URLs and tokens.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::SecretUrl;

/// Feed of another service: a URL, or a table with its URL and other settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedFeed {
    /// URL of the feed.
    pub url: SecretUrl,
    /// File with the bearer token for the feed, read for each connection.
    pub token_file: Option<PathBuf>,
}

impl From<SecretUrl> for FollowedFeed {
    fn from(url: SecretUrl) -> Self {
        Self {
            url,
            token_file: None,
        }
    }
}

/// Table form of the setting.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Table {
    url: SecretUrl,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
}

impl Serialize for FollowedFeed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.token_file {
            None => self.url.serialize(serializer),
            Some(file) => Table {
                url: self.url.clone(),
                token_file: Some(file.clone()),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FollowedFeed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FormVisitor)
    }
}

/// Visitor of either form.
struct FormVisitor;

impl<'de> Visitor<'de> for FormVisitor {
    type Value = FollowedFeed;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a URL, or a table with `url` and `token_file`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let url = SecretUrl::try_from(text.to_owned()).map_err(E::custom)?;
        Ok(url.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let Table { url, token_file } = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(FollowedFeed { url, token_file })
    }
}

/// Checks that tokens are sent only over protected connections.
pub(super) fn check(feeds: &BTreeMap<String, FollowedFeed>) -> Result<()> {
    for (name, feed) in feeds {
        ensure!(
            feed.token_file.is_none() || feed.url.is_protected(),
            "follow.{name}.url: expected https://, or a server on this machine, since a token is \
             sent to it; use https://, or remove follow.{name}.token_file"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FollowedFeed, String> {
        let read = toml::from_str::<BTreeMap<String, FollowedFeed>>(&format!("a = {text}"));
        let mut read = read.map_err(|error| error.to_string())?;
        read.remove("a").ok_or_else(|| "no feed".to_owned())
    }

    #[test]
    fn a_feed_is_a_url_or_a_table() {
        let short = read("\"http://host/feed\"").expect("a feed");
        assert_eq!(short.token_file, None);
        let long = read("{ url = \"https://host/feed\", token_file = \"/run/token\" }");
        let long = long.expect("a feed");
        assert_eq!(long.token_file, Some("/run/token".into()));
        let shown = |feed: &FollowedFeed| toml::Value::try_from(feed).expect("TOML").to_string();
        assert_eq!(shown(&short), "\"http://host\"");
        let table = toml::Value::try_from(&long).expect("TOML");
        assert_eq!(table["token_file"].as_str(), Some("/run/token"));
        for (text, word) in [
            ("7", "a URL, or a table"),
            ("\"ftp://host\"", "http://"),
            ("{ token_file = \"x\" }", "url"),
            ("{ url = \"https://host\", token = \"x\" }", "token"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn tokens_are_sent_over_protected_connections_only() {
        let feeds = |url: &str| {
            let text = format!("{{ url = \"{url}\", token_file = \"t\" }}");
            BTreeMap::from([("a".to_owned(), read(&text).expect("a feed"))])
        };
        assert!(check(&feeds("https://host/feed")).is_ok());
        assert!(check(&feeds("http://127.0.0.1:8080/feed")).is_ok());
        let error = check(&feeds("http://host/feed")).expect_err("an error");
        assert!(error.to_string().contains("follow.a.url"), "{error}");
        let open = BTreeMap::from([(
            "a".to_owned(),
            read("\"http://host/feed\"").expect("a feed"),
        )]);
        assert!(check(&open).is_ok());
    }
}
