//! Sections `email`, `sms` and `webhook`: channels of notifications. A channel without address
//! is off.

use anyhow::{Result, anyhow, ensure};
use bakehouse_host::settings::{list, uris};
use bakehouse_host::{SecretText, SecretUri};
use bakehouse_orders::notify::Events;
use serde::{Deserialize, Serialize, Serializer};

/// E-mail to customers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Email {
    /// URI of the mail server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<SecretUri>,
    /// Sender, `NAME <ADDRESS>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Events that customers get an e-mail about; `*`: all.
    #[serde(deserialize_with = "list")]
    pub events: Vec<String>,
}

/// Default template of the request to the text message gateway.
const DEFAULT_SMS_BODY: &str = r#"{"to":"{to}","text":"{text}"}"#;

/// Text messages to customers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sms {
    /// URL of the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<SecretUri>,
    /// Bearer token for the gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretText>,
    /// Template of the request body; it may hold a key.
    #[serde(serialize_with = "shown_by_default")]
    pub body: SecretText,
    /// Events that customers get a text message about; `*`: all.
    #[serde(deserialize_with = "list")]
    pub events: Vec<String>,
}

/// Webhooks.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    /// URLs of the endpoints. Their paths may hold tokens.
    #[serde(deserialize_with = "uris")]
    pub urls: Vec<SecretUri>,
    /// Key that requests are signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretText>,
    /// Events that the endpoints get; `*`: all.
    #[serde(deserialize_with = "list")]
    pub events: Vec<String>,
    /// True if endpoints may be on this machine or in a private network.
    pub allow_private: bool,
}

/// Events that customers are notified of by default.
fn customer_events() -> Vec<String> {
    ["order.created", "order.status", "order.deleted"]
        .map(str::to_owned)
        .into()
}

impl Default for Email {
    fn default() -> Self {
        Self {
            uri: None,
            from: None,
            events: customer_events(),
        }
    }
}

/// Shows the template if it is the default one, which holds no secret.
fn shown_by_default<S: Serializer>(body: &SecretText, serializer: S) -> Result<S::Ok, S::Error> {
    match body.expose() {
        DEFAULT_SMS_BODY => serializer.serialize_str(DEFAULT_SMS_BODY),
        _ => body.serialize(serializer),
    }
}

impl Default for Sms {
    fn default() -> Self {
        Self {
            url: None,
            token: None,
            body: DEFAULT_SMS_BODY.to_owned().into(),
            events: customer_events(),
        }
    }
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            secret: None,
            events: vec!["*".into()],
            allow_private: false,
        }
    }
}

/// Checks that each channel has what it needs.
///
/// # Errors
/// An error that names the setting and the expected value.
pub(super) fn check(email: &Email, sms: &Sms, webhook: &Webhook) -> Result<()> {
    for (key, events) in [
        ("email.events", &email.events),
        ("sms.events", &sms.events),
        ("webhook.events", &webhook.events),
    ] {
        Events::of(events).map_err(|error| anyhow!("{key}: {error}"))?;
    }
    ensure!(
        email.uri.is_none() || email.from.is_some(),
        "email.from: required where email.uri is set, such as Bakery <orders@example.org>"
    );
    ensure!(
        webhook.urls.is_empty() || webhook.secret.is_some(),
        "webhook.secret: required where webhook.urls is set: whsec_ and the base64 of 24 to 64 \
         random bytes"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_hidden_unless_it_is_the_default() {
        let printed = |sms: &Sms| toml::to_string(sms).expect("TOML");
        let mut sms = Sms::default();
        assert!(printed(&sms).contains("{text}"), "{}", printed(&sms));
        sms.body = r#"{"key":"hunter2","to":"{to}","text":"{text}"}"#.to_owned().into();
        assert!(!printed(&sms).contains("hunter2"), "{}", printed(&sms));
        assert!(!format!("{sms:?}").contains("hunter2"));
    }
}
