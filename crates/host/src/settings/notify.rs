//! Who is notified, of what, and by which ways. A way that is not set up is not used.

use std::time::Duration;

use anyhow::{Result, ensure};
use bakehouse_engine::model::notification::Patience;
use bakehouse_engine::stages::delivery::DeliverySettings;
use bakehouse_engine::stages::notifier::NotifierSettings;
use bakehouse_orders::notify::Events;
use serde::{Deserialize, Serialize, Serializer};

use super::{Settings, load};
use crate::{SecretText, SecretUri};

/// notifier.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// How often it looks although nobody told it to.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// Events a batch at most.
    pub max_batch: usize,
    /// After which time a standby takes over from one that is gone.
    #[serde(with = "humantime_serde")]
    pub lease_ttl: Duration,
    /// How long an attempt may take.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// How many are sent at the same time, each way.
    pub at_once: u16,
    /// After which time a failed attempt is followed by the next; later waits
    /// are longer.
    #[serde(with = "humantime_serde")]
    pub first_wait: Duration,
    /// The longest of them.
    #[serde(with = "humantime_serde")]
    pub longest_wait: Duration,
    /// Counted from the event.
    #[serde(with = "humantime_serde")]
    pub give_up_after: Duration,
}

/// Mail to customers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Email {
    /// The mail server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<SecretUri>,
    /// The sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Of which events.
    #[serde(deserialize_with = "load::list")]
    pub events: Vec<String>,
}

/// Template of a text message's request where the settings have none.
const DEFAULT_SMS_BODY: &str = r#"{"to":"{to}","text":"{text}"}"#;

/// Text messages to customers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sms {
    /// The gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<SecretUri>,
    /// Sent to it as a bearer token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretText>,
    /// Template of what is posted to it; it may hold a key.
    #[serde(serialize_with = "shown_by_default")]
    pub body: SecretText,
    /// Of which events.
    #[serde(deserialize_with = "load::list")]
    pub events: Vec<String>,
}

/// Webhooks.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    /// The endpoints. Their paths may hold tokens.
    #[serde(deserialize_with = "load::uris")]
    pub urls: Vec<SecretUri>,
    /// What requests are signed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretText>,
    /// Of which events.
    #[serde(deserialize_with = "load::list")]
    pub events: Vec<String>,
    /// Whether endpoints may be on this machine or in a private network.
    pub allow_private: bool,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            sweep_interval: Duration::from_secs(1),
            max_batch: 500,
            lease_ttl: Duration::from_millis(1_500),
            timeout: Duration::from_secs(15),
            at_once: 16,
            first_wait: Duration::from_secs(5),
            longest_wait: Duration::from_secs(60 * 60),
            give_up_after: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// What customers want to know.
fn of_interest() -> Vec<String> {
    ["order.created", "order.status", "order.deleted"]
        .map(str::to_owned)
        .into()
}

impl Default for Email {
    fn default() -> Self {
        Self {
            uri: None,
            from: None,
            events: of_interest(),
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
            events: of_interest(),
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

impl Settings {
    /// Whether anybody is notified of anything.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.email.uri.is_some() || self.sms.url.is_some() || !self.webhook.urls.is_empty()
    }

    /// As notifier takes them.
    #[must_use]
    pub fn for_notifier(&self) -> NotifierSettings {
        NotifierSettings {
            instance: self.instance.clone(),
            sweep_interval: self.notify.sweep_interval,
            max_batch: self.notify.max_batch,
            lease_ttl: self.notify.lease_ttl,
            patience: self.notify.patience(),
        }
    }

    /// As a courier takes them.
    #[must_use]
    pub fn for_delivery(&self) -> DeliverySettings {
        DeliverySettings {
            poll_interval: self.notify.sweep_interval,
            timeout: self.notify.timeout,
            at_once: usize::from(self.notify.at_once),
            patience: self.notify.patience(),
        }
    }

    pub(super) fn check_ways(&self) -> Result<()> {
        for (key, events) in [
            ("email.events", &self.email.events),
            ("sms.events", &self.sms.events),
            ("webhook.events", &self.webhook.events),
        ] {
            Events::of(events).map_err(|error| anyhow::anyhow!("{key}: {error}"))?;
        }
        ensure!(
            self.email.uri.is_none() || self.email.from.is_some(),
            "email.from: required where email.uri is set, such as Bakery <orders@example.org>"
        );
        ensure!(
            self.webhook.urls.is_empty() || self.webhook.secret.is_some(),
            "webhook.secret: required where webhook.urls is set: whsec_ and the base64 of 24 to 64 \
             random bytes"
        );
        Ok(())
    }
}

impl Notify {
    fn patience(&self) -> Patience {
        Patience {
            first_wait: self.first_wait,
            longest_wait: self.longest_wait,
            give_up_after: self.give_up_after,
        }
    }
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
