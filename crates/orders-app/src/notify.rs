//! Notifications by the settings.

use std::sync::Arc;

use anyhow::{Context, Result};
use bakehouse_engine::Shutdown;
use bakehouse_engine::ports::Channel;
use bakehouse_engine::stages::delivery;
use bakehouse_engine::stages::notifier;
use bakehouse_engine::stages::notifier::NotifierDeps;
use bakehouse_host::{Settings, Stages};
use bakehouse_notification_channels::webhook::{self, Webhook};
use bakehouse_notification_channels::{email, sms};
use bakehouse_orders::notify as words;
use bakehouse_orders::notify::{Events, Rules};
use tokio::sync::watch;

/// Whom to tell, and the ways to them.
pub struct Channels {
    rules: Rules,
    channels: Vec<Arc<dyn Channel>>,
}

/// The ways that the settings name.
///
/// # Errors
/// When one of them cannot be set up.
pub fn channels(settings: &Settings) -> Result<Channels> {
    let mut channels = Channels {
        rules: Rules::default(),
        channels: Vec::new(),
    };
    channels.mail(settings)?;
    channels.sms(settings)?;
    channels.webhooks(settings)?;
    Ok(channels)
}

impl Channels {
    fn mail(&mut self, settings: &Settings) -> Result<()> {
        let Some(uri) = &settings.email.uri else {
            return Ok(());
        };
        self.rules.mail = Events::of(&settings.email.events).context("email.events")?;
        let channel = email::channel(email::Settings {
            lane: words::MAIL.into(),
            uri: uri.expose().to_owned(),
            from: settings.email.from.clone().unwrap_or_default(),
            timeout: settings.notify.timeout,
            connections: u32::from(settings.notify.at_once),
        });
        self.channels.push(channel.context("email")?);
        Ok(())
    }

    fn sms(&mut self, settings: &Settings) -> Result<()> {
        let Some(url) = &settings.sms.url else {
            return Ok(());
        };
        self.rules.sms = Events::of(&settings.sms.events).context("sms.events")?;
        let token = settings.sms.token.as_ref();
        let channel = sms::channel(sms::Settings {
            lane: words::SMS.into(),
            url: url.expose().to_owned(),
            token: token.map(|token| token.expose().to_owned()),
            body: settings.sms.body.expose().to_owned(),
            timeout: settings.notify.timeout,
        });
        self.channels.push(channel.context("sms")?);
        Ok(())
    }

    fn webhooks(&mut self, settings: &Settings) -> Result<()> {
        let events = Events::of(&settings.webhook.events).context("webhook.events")?;
        let secret = settings.webhook.secret.as_ref();
        for (index, url) in settings.webhook.urls.iter().enumerate() {
            let hook = Webhook::new(&webhook::Settings {
                url: url.expose().to_owned(),
                secret: secret.map_or_else(String::new, |secret| secret.expose().to_owned()),
                allow_private: settings.webhook.allow_private,
                timeout: settings.notify.timeout,
            });
            let hook = hook.with_context(|| format!("webhook, number {}", index + 1))?;
            self.rules.webhooks.push(words::Webhook {
                lane: hook.lane().to_owned(),
                host: hook.host().to_owned(),
                events: events.clone(),
            });
            self.channels.push(hook);
        }
        Ok(())
    }
}

/// Runs notifier and a courier for each of the ways.
pub fn notify(
    settings: &Settings,
    channels: Channels,
    deps: NotifierDeps,
    stages: &mut Stages,
    shutdown: &Shutdown,
) {
    let (recorded, news) = watch::channel(0);
    for channel in channels.channels {
        let record = deps.notifications.clone();
        let settings = settings.for_delivery();
        stages.run(delivery::run(
            channel,
            record,
            settings,
            news.clone(),
            shutdown.clone(),
        ));
    }
    let rules = Arc::new(channels.rules);
    stages.run(notifier::run(
        deps,
        rules,
        settings.for_notifier(),
        recorded,
        shutdown.clone(),
    ));
}
