//! Settings of orders: the sections that only this domain has.

mod attachments;
mod channels;
mod reference;

use anyhow::{Result, ensure};
pub(crate) use attachments::Attachments;
use bakehouse_host::DomainSettings;
use bakehouse_orders::money::Currency;
use channels::{Email, Sms, Webhook};
use serde::{Deserialize, Serialize};

/// Sections of orders.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrdersSettings {
    /// Attached files.
    pub attachments: Attachments,
    /// E-mail to customers.
    pub email: Email,
    /// Text messages to customers.
    pub sms: Sms,
    /// Webhooks.
    pub webhook: Webhook,
    /// Orders themselves.
    pub orders: Orders,
}

/// Settings of orders themselves.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Orders {
    /// Currency of orders that name none.
    pub currency: Currency,
}

impl DomainSettings for OrdersSettings {
    const SECTIONS: &'static [&'static str] = &["attachments", "email", "sms", "webhook", "orders"];
    const REFERENCE: &'static [(&'static str, &'static str)] = reference::SETTINGS;
    const RENAMED: &'static [(&'static str, &'static str)] =
        &[("attachments.largest", "attachments.max_bytes")];
    const CHANNELS: &'static [&'static str] = &["email.uri", "sms.url", "webhook.urls"];

    fn check(&self) -> Result<()> {
        self.attachments.check()?;
        channels::check(&self.email, &self.sms, &self.webhook)?;
        for (key, count) in [
            ("attachments.max_uploads", self.attachments.max_uploads),
            (
                "attachments.max_uploads_per_client",
                self.attachments.max_uploads_per_client,
            ),
        ] {
            ensure!(count > 0, "{key}: expected a number above 0");
        }
        for (key, time) in [
            (
                "attachments.sweep_interval",
                self.attachments.sweep_interval,
            ),
            ("attachments.sweep_grace", self.attachments.sweep_grace),
        ] {
            ensure!(
                !time.is_zero(),
                "{key}: expected a time above 0, such as 500ms"
            );
        }
        Ok(())
    }

    fn notifies(&self) -> bool {
        self.email.uri.is_some() || self.sms.url.is_some() || !self.webhook.urls.is_empty()
    }

    fn backup_note(&self) -> Option<&'static str> {
        let is_bucket = self.attachments.bucket().is_some();
        is_bucket.then_some("attached files are not part of the copy: they stay in their bucket")
    }
}
