//! Notifications of orders, created from the settings: rules, and the configured channels.

use std::sync::Arc;

use anyhow::{Error, Result};
use bakehouse_engine::ports::Channel;
use bakehouse_host::settings::{DomainSettings, InvalidSetting};
use bakehouse_host::{Notifications, Settings};
use bakehouse_notification_channels::webhook::{self, Webhook};
use bakehouse_notification_channels::{email, sms};
use bakehouse_orders::notify as texts;
use bakehouse_orders::notify::{Events, Rules};

use crate::Configuration;
use crate::settings::OrdersSettings;

/// Creates the configured channels, and the rules for them; `None` without channels.
///
/// # Errors
/// [`InvalidSetting`] if one of them cannot be created.
pub(crate) fn notifications(configuration: &Configuration) -> Result<Option<Notifications>> {
    let Configuration { host, domain } = configuration;
    if !domain.notifies() {
        return Ok(None);
    }
    let mut channels = Channels {
        rules: Rules::default(),
        channels: Vec::new(),
    };
    channels.add_email(host, domain)?;
    channels.add_sms(host, domain)?;
    channels.add_webhooks(host, domain)?;
    Ok(Some(Notifications {
        rules: Arc::new(channels.rules),
        channels: channels.channels,
    }))
}

struct Channels {
    rules: Rules,
    channels: Vec<Arc<dyn Channel>>,
}

impl Channels {
    fn add_email(&mut self, host: &Settings, domain: &OrdersSettings) -> Result<()> {
        let Some(uri) = &domain.email.uri else {
            return Ok(());
        };
        self.rules.mail = events("email.events", &domain.email.events)?;
        let channel = email::channel(email::Settings {
            lane: texts::MAIL.into(),
            uri: uri.expose().to_owned(),
            from: domain.email.from.clone().unwrap_or_default(),
            timeout: host.notify.timeout,
            connections: u32::from(host.notify.concurrency),
        });
        self.channels
            .push(channel.map_err(|error| invalid("email", error.into()))?);
        Ok(())
    }

    fn add_sms(&mut self, host: &Settings, domain: &OrdersSettings) -> Result<()> {
        let Some(url) = &domain.sms.url else {
            return Ok(());
        };
        self.rules.sms = events("sms.events", &domain.sms.events)?;
        let token = domain.sms.token.as_ref();
        let channel = sms::channel(sms::Settings {
            lane: texts::SMS.into(),
            url: url.expose().to_owned(),
            token: token.map(|token| token.expose().to_owned()),
            body: domain.sms.body.expose().to_owned(),
            timeout: host.notify.timeout,
        });
        self.channels
            .push(channel.map_err(|error| invalid("sms", error.into()))?);
        Ok(())
    }

    fn add_webhooks(&mut self, host: &Settings, domain: &OrdersSettings) -> Result<()> {
        let events = events("webhook.events", &domain.webhook.events)?;
        let secret = domain.webhook.secret.as_ref();
        for (index, url) in domain.webhook.urls.iter().enumerate() {
            let webhook = Webhook::new(&webhook::Settings {
                url: url.expose().to_owned(),
                secret: secret.map_or_else(String::new, |secret| secret.expose().to_owned()),
                allow_private: domain.webhook.allow_private,
                timeout: host.notify.timeout,
            });
            let key = format!("webhook.urls, number {}", index + 1);
            let webhook = webhook.map_err(|error| invalid(&key, error.into()))?;
            self.rules.webhooks.push(texts::Webhook {
                lane: webhook.name().to_owned(),
                host: webhook.host().to_owned(),
                events: events.clone(),
            });
            self.channels.push(webhook);
        }
        Ok(())
    }
}

fn events(key: &str, names: &[String]) -> Result<Events> {
    Events::of(names).map_err(|error| invalid(key, Error::msg(error)))
}

fn invalid(key: &str, error: Error) -> Error {
    InvalidSetting::new(key, error).into()
}
