//! Secrets, and connection strings and URLs with secrets, which hide them when they are printed.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};
use url::{Host, Url};

/// Secret that is printed as `***`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretText(#[serde(deserialize_with = "crate::settings::text")] String);

impl SecretText {
    /// Returns the secret itself.
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

/// Connection string that is printed with its scheme and hosts only.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretUri(String);

impl SecretUri {
    /// Returns the whole string, with its secrets.
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

impl From<String> for SecretUri {
    fn from(uri: String) -> Self {
        Self(uri)
    }
}

impl fmt::Display for SecretUri {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&redacted(&self.0))
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

/// HTTP URL that is printed with its scheme and host only.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SecretUrl(Url);

impl SecretUrl {
    /// Returns the whole URL, with its secrets.
    #[must_use]
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl SecretUrl {
    /// Checks whether nothing on the network path can read or change the traffic: it uses TLS, or
    /// stays on this machine.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        let is_local = match self.0.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                name == "localhost" || name.ends_with(".localhost")
            }
            None => false,
        };
        self.0.scheme() == "https" || is_local
    }
}

impl TryFrom<String> for SecretUrl {
    type Error = String;

    /// Parses a URL. The error does not quote the text, which may hold a password.
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
        out.write_str(&redacted(self.0.as_str()))
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&redacted(self.0.as_str()))
    }
}

/// Replacement for hidden parts.
const HIDDEN: &str = "***";

/// Returns scheme and hosts of a URI. All other parts can hold a secret and are left out. The hosts
/// are hidden as well if they cannot be told from other parts, as with a password that should have
/// been percent-encoded.
fn redacted(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return HIDDEN.to_owned();
    };
    let mut letters = scheme.chars();
    let is_scheme = letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter));
    if !is_scheme {
        return HIDDEN.to_owned();
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let hosts = authority
        .rsplit_once('@')
        .map_or(authority, |(_, hosts)| hosts);
    if after.contains('@') || !hosts.split(',').all(is_host) {
        return format!("{scheme}://{HIDDEN}");
    }
    format!("{scheme}://{hosts}")
}

/// Checks whether a text is a host, with or without a port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(address) => match address.split_once(']') {
            Some((address, rest)) => {
                let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
                return is_address && (rest.is_empty() || is_port(rest.strip_prefix(':')));
            }
            None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_name = |letter: char| letter.is_alphanumeric() || "-._".contains(letter);
    !host.is_empty() && host.chars().all(is_name) && (port.is_none() || is_port(port))
}

fn is_port(text: Option<&str>) -> bool {
    text.is_some_and(|text| {
        !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit()) && text.len() <= 5
    })
}

/// Location of a resource: a URL, or a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", untagged)]
pub enum UrlOrFile {
    /// Text that contains `://`, or begins with `http:` or `https:`.
    Url(SecretUrl),
    /// Any other text.
    File(PathBuf),
}

impl TryFrom<String> for UrlOrFile {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let start = text.get(..6).unwrap_or(&text).to_ascii_lowercase();
        if text.contains("://") || start.starts_with("http:") || start == "https:" {
            return SecretUrl::try_from(text).map(Self::Url);
        }
        Ok(Self::File(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use bakehouse_testkit::cases::cases;
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "hunter2";

    fn printed(secret: &(impl fmt::Debug + Serialize)) -> String {
        let json = serde_json::to_string(secret).expect("JSON");
        format!("{secret:?} {json}")
    }

    #[test]
    fn scheme_and_hosts_are_shown() {
        for (uri, expected) in [
            ("amqp://user:hunter2@host:5672/%2f", "amqp://host:5672"),
            ("amqps://user:p%40hunter2@host/%2f", "amqps://host"),
            (
                "mongodb://u:hunter2@a:1,b:2,[::1]:3/source?replicaSet=rs0&password=hunter2",
                "mongodb://a:1,b:2,[::1]:3",
            ),
            (
                "mongodb+srv://u:hunter2@cluster.example/db?authMechanismProperties=A:hunter2",
                "mongodb+srv://cluster.example",
            ),
            (
                "mongodb://host/?tlsCertificateKeyFilePassword=hunter2",
                "mongodb://host",
            ),
            (
                "smtp://user:hunter2@mail:587?tls=required",
                "smtp://mail:587",
            ),
            ("s3://bucket/hunter2", "s3://bucket"),
            // Not encoded: more than one part could be the host.
            ("amqp://user:12/hunter2@host/%2f", "amqp://***"),
            ("amqp://user:12?hunter2@host/%2f", "amqp://***"),
            ("amqp://user:x@hunter2/y@host/%2f", "amqp://***"),
            ("amqp://user:hunter2", "amqp://***"),
            ("amqp://user:hunter2%40host", "amqp://***"),
            ("amqp://user:hunter2@", "amqp://***"),
            ("user:hunter2@host", "***"),
            ("hunter2", "***"),
            ("", "***"),
        ] {
            let secret = SecretUri::from(uri);
            assert_eq!(secret.to_string(), expected, "{uri}");
            assert!(!printed(&secret).contains(SECRET), "{uri}");
        }
    }

    #[test]
    fn scheme_and_host_of_a_url_are_shown() {
        let text = "https://user:hunter2@host:8443/hunter2?token=hunter2#hunter2".to_owned();
        let url = UrlOrFile::try_from(text).expect("a URL");
        let json = serde_json::to_string(&url).expect("JSON");
        assert_eq!(json, r#""https://host:8443""#);
        assert!(!printed(&url).contains(SECRET));
        for text in ["https:/user:hunter2@host/", "HTTPS:user:hunter2@host/"] {
            let url = UrlOrFile::try_from(text.to_owned()).expect("a URL");
            assert!(!printed(&url).contains(SECRET), "{url:?}");
        }
        for text in ["https://user:hunter2@:x/", "htps://user:hunter2@host/"] {
            let refused = UrlOrFile::try_from(text.to_owned());
            assert!(!refused.expect_err("no URL").contains(SECRET));
            let quoted = serde_json::to_string(text).expect("JSON");
            let refused = serde_json::from_str::<SecretUrl>(&quoted);
            let refused = refused.expect_err("no URL").to_string();
            assert!(!refused.contains(SECRET), "{refused}");
        }
        let file = UrlOrFile::try_from("/etc/keys.json".to_owned()).expect("a file");
        let json = serde_json::to_string(&file).expect("JSON");
        assert_eq!(json, r#""/etc/keys.json""#);
    }

    #[test]
    fn https_and_local_urls_are_protected() {
        let is_protected = |url: &str| {
            let url = SecretUrl::try_from(url.to_owned()).expect("a URL");
            url.is_protected()
        };
        for url in [
            "https://issuer.example/keys",
            "http://localhost:8080/keys",
            "http://LOCALHOST./keys",
            "http://a.localhost/keys",
            "http://127.0.0.1/keys",
            "http://127.8.9.10:1/keys",
            "http://127.1/keys",
            "http://[::1]/keys",
            "http://[::ffff:127.0.0.1]/keys",
        ] {
            assert!(is_protected(url), "{url}");
        }
        for url in [
            "http://issuer.example/keys",
            "http://localhost.example/keys",
            "http://notlocalhost/keys",
            "http://10.0.0.1/keys",
            "http://0.0.0.0/keys",
            "http://[::]/keys",
            "http://localhost@issuer.example/keys",
        ] {
            assert!(!is_protected(url), "{url}");
        }
    }

    /// Text around a secret, of characters that have a meaning in a URI.
    fn surrounding() -> &'static str {
        "[a-z0-9:/?#@,%&=+;!'\"\\\\ \\[\\]$.-]{0,6}"
    }

    fn schemes() -> impl Strategy<Value = &'static str> {
        let all = vec![
            "mongodb",
            "mongodb+srv",
            "amqp",
            "amqps",
            "smtp",
            "smtps",
            "http",
            "https",
            "s3",
        ];
        prop::sample::select(all)
    }

    proptest! {
        #![proptest_config(cases(4_000))]

        /// A secret in any part of a URI, percent-encoded or not.
        #[test]
        fn a_secret_is_never_shown(
            scheme in schemes(), user in surrounding(), before in surrounding(),
            after in surrounding(), path in surrounding(), part in 0_u8..4,
        ) {
            let secret = format!("{before}{SECRET}{after}");
            let uri = match part {
                0 => format!("{scheme}://{user}:{secret}@host:1,other:2/{path}?a=b"),
                1 => format!("{scheme}://{secret}:{user}@host/{path}"),
                2 => format!("{scheme}://{user}:x@host/{path}?option={secret}"),
                _ => format!("{scheme}://host/{path}/{secret}"),
            };
            let text = printed(&SecretUri::from(uri.as_str()));
            prop_assert!(!text.contains(SECRET), "{uri}: {text}");
            if let Ok(url) = UrlOrFile::try_from(uri.clone()) {
                let text = printed(&url);
                prop_assert!(!text.contains(SECRET), "{uri}: {text}");
            }
        }

        /// Everything but letters and digits is percent-encoded, as the standards require.
        #[test]
        fn hosts_of_valid_uris_are_shown(
            scheme in schemes(), password in "\\PC{0,12}", path in "[a-z]{0,8}",
        ) {
            let encoded: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let uri = format!("{scheme}://user:{encoded}@a.example:1/{path}?option={encoded}");
            prop_assert_eq!(SecretUri::from(uri).to_string(), format!("{scheme}://a.example:1"));
        }
    }
}
