//! Secrets, and connection strings, which hold some.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};
use url::Url;

/// A secret that shows itself as `***`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretText(#[serde(deserialize_with = "crate::settings::load::text")] String);

impl SecretText {
    /// The secret itself, for whoever has to use it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

/// A connection string that shows itself without its password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretUri(String);

impl SecretUri {
    /// The string itself, for whoever connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SecretUri {
    fn from(uri: &str) -> Self {
        Self(uri.to_owned())
    }
}

impl fmt::Display for SecretUri {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Url::parse(&self.0) {
            Ok(url) => out.write_str(hidden(url).as_str()),
            // Several hosts are no URL in the sense of the standard.
            Err(_) => match (self.0.split_once("://"), self.0.rsplit_once('@')) {
                (Some((scheme, _)), Some((_, place))) => {
                    write!(
                        out,
                        "{scheme}://***@{}",
                        place.split('?').next().unwrap_or_default()
                    )
                }
                _ => out.write_str("***"),
            },
        }
    }
}

impl fmt::Debug for SecretUri {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl Serialize for SecretUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A URL of HTTP that shows itself without its password and options.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SecretUrl(Url);

impl SecretUrl {
    /// The URL itself, for whoever connects.
    #[must_use]
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl TryFrom<String> for SecretUrl {
    type Error = String;

    /// What is wrong is not told in the words of the text, which may hold a password.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let url = Url::parse(&text).map_err(|error| format!("expected a URL: {error}"))?;
        match url.scheme() {
            "http" | "https" => Ok(Self(url)),
            _ => Err("expected a URL with http:// or https://".to_owned()),
        }
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(hidden(self.0.clone()).as_str())
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(hidden(self.0.clone()).as_str())
    }
}

fn hidden(mut url: Url) -> Url {
    if url.password().is_some() {
        // What has a password can have another.
        let _ = url.set_password(Some("***"));
    }
    // Options may hold secrets as well, and nobody knows them all.
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    url
}

/// Where something is: at a URL, or in a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", untagged)]
pub enum UrlOrFile {
    /// What has `://` in it.
    Url(SecretUrl),
    /// All else.
    File(PathBuf),
}

impl TryFrom<String> for UrlOrFile {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.contains("://") {
            return SecretUrl::try_from(text).map(Self::Url);
        }
        Ok(Self::File(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_showing_it_shows_the_password() {
        for uri in [
            "mongodb://user:hunter2@host:27017/source?replicaSet=rs0",
            "mongodb://user:hunter2@a:1,b:2,c:3/source?replicaSet=rs0&password=hunter2",
            "amqp://user:hunter2@host/%2f",
            "mongodb://host/db?tlsCertificateKeyFilePassword=hunter2",
            "hunter2",
        ] {
            let secret = SecretUri::from(uri);
            let json = serde_json::to_string(&secret).expect("JSON");
            for shown in [secret.to_string(), format!("{secret:?}"), json] {
                assert!(!shown.contains("hunter2"), "{shown}");
            }
        }
    }

    #[test]
    fn neither_does_one_of_a_url() {
        let text = "https://user:hunter2@host/keys?token=hunter2".to_owned();
        let url = UrlOrFile::try_from(text).expect("a URL");
        let json = serde_json::to_string(&url).expect("JSON");
        assert_eq!(json, r#""https://user:***@host/keys?***""#);
        assert!(!format!("{url:?}").contains("hunter2"));
        for text in ["https://user:hunter2@:x/", "htps://user:hunter2@host/"] {
            let refused = UrlOrFile::try_from(text.to_owned());
            assert!(!refused.expect_err("no URL").contains("hunter2"));
            let quoted = serde_json::to_string(text).expect("JSON");
            let refused = serde_json::from_str::<SecretUrl>(&quoted);
            let refused = refused.expect_err("no URL").to_string();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        let file = UrlOrFile::try_from("/etc/keys.json".to_owned()).expect("a file");
        let json = serde_json::to_string(&file).expect("JSON");
        assert_eq!(json, r#""/etc/keys.json""#);
    }

    #[test]
    fn where_it_leads_to_is_shown() {
        let shown = SecretUri::from("amqp://user:x@host:5672/%2f").to_string();
        assert_eq!(shown, "amqp://user:***@host:5672/%2f");
        let shown = SecretUri::from("mongodb://u:x@a:1,b:2/source?replicaSet=rs0").to_string();
        assert_eq!(shown, "mongodb://***@a:1,b:2/source");
    }
}
