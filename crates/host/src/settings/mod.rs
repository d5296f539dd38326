//! Everything that can be set. One table for all services, so that one file or
//! one environment does for all of them; each takes what it needs.
//!
//! A TOML file (`--config`), and over it variables: `BAKEHOUSE_HTTP__BIND` is
//! `bind` in the section `http`.

mod attachments;
mod auth;
mod exposure;
mod feed;
mod follow;
#[cfg(test)]
mod fuzz;
mod health;
mod http;
pub(crate) mod load;
mod notify;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
pub use attachments::Attachments;
pub use auth::Auth;
use bakehouse_engine::feed::FeedSettings;
use bakehouse_engine::handlers::HandlerSettings;
use bakehouse_engine::stages::baker::BakerSettings;
use bakehouse_engine::stages::manager::ManagerSettings;
use bakehouse_engine::stages::writer::WriterSettings;
use bakehouse_orders::money::Currency;
pub use exposure::{AllowedHost, AllowedOrigin, Network, PublicUrl};
pub use feed::Feed;
pub use follow::FollowedFeed;
pub use health::Health;
pub use http::Http;
pub use notify::{Email, Notify, Sms, Webhook};
use serde::{Deserialize, Serialize};

use crate::{SecretUri, SecretUrl};

/// All settings.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Name of this instance, unique among those of its kind.
    #[serde(deserialize_with = "load::text")]
    pub instance: String,
    /// Where the embedded store keeps its file.
    pub data_dir: PathBuf,
    /// What an answer waits for, and what is kept.
    pub mode: Mode,
    /// Feeds of other services, by the names of their domains: where they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub follow: BTreeMap<String, FollowedFeed>,
    /// api-server's HTTP.
    pub http: Http,
    /// Whom it believes.
    pub auth: Auth,
    /// Attached files.
    pub attachments: Attachments,
    /// Health checks.
    pub health: Health,
    /// The databases.
    pub mongodb: MongoDb,
    /// The broker.
    pub amqp: Amqp,
    /// events-writer.
    pub writer: Writer,
    /// orders-manager.
    pub manager: Manager,
    /// data-baker.
    pub baker: Baker,
    /// notifier.
    pub notify: Notify,
    /// Mail to customers.
    pub email: Email,
    /// Text messages to customers.
    pub sms: Sms,
    /// Webhooks.
    pub webhook: Webhook,
    /// The feed.
    pub feed: Feed,
    /// Orders.
    pub orders: Orders,
    /// Logs.
    pub log: Log,
}

/// What an answer waits for, and what is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// An answer waits until the operation is durable; all else follows.
    #[default]
    Asynchronous,
    /// It waits until everything that the operation leads to is durable, all of it or
    /// nothing. On the embedded store.
    Synchronous,
    /// The same in memory: nothing is kept beyond the process.
    Memory,
}

/// The databases.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MongoDb {
    /// The source database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_uri: Option<SecretUri>,
    /// The presentation database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presentation_uri: Option<SecretUri>,
    /// Whether to initiate the URIs' replica sets where that has not been done.
    pub initiate_replica_set: bool,
}

/// The broker.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Amqp {
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<SecretUri>,
    /// Address of its management API, with a user and password: policies are checked there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub management_uri: Option<SecretUrl>,
    /// Put before the names of exchanges and queues.
    #[serde(deserialize_with = "load::text")]
    pub prefix: String,
    /// How long it may take to confirm an order.
    #[serde(with = "humantime_serde")]
    pub confirm_timeout: Duration,
    /// Messages that events-writer may have in hand.
    pub prefetch: u16,
}

/// events-writer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Writer {
    /// Events a batch at most.
    pub max_batch: usize,
}

/// orders-manager.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manager {
    /// How often it looks although nobody told it to.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// Events a batch at most.
    pub max_batch: usize,
    /// After which time a standby takes over from one that is gone.
    #[serde(with = "humantime_serde")]
    pub lease_ttl: Duration,
}

/// data-baker.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Baker {
    /// How often it looks although nobody told it to.
    #[serde(with = "humantime_serde")]
    pub sweep_interval: Duration,
    /// Events a batch at most.
    pub max_batch: usize,
    /// After which time a standby takes over from one that is gone.
    #[serde(with = "humantime_serde")]
    pub lease_ttl: Duration,
}

/// Orders.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Orders {
    /// Of orders that do not say.
    pub currency: Currency,
}

/// Logs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// For people or for programs.
    pub format: LogFormat,
    /// What is logged, as in `info,bakehouse_engine=debug`.
    pub filter: String,
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people on a terminal, for programs elsewhere.
    Auto,
    /// For people.
    Human,
    /// For programs.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            instance: format!("{}-{}", host(), std::process::id()),
            data_dir: "data".into(),
            mode: Mode::default(),
            follow: BTreeMap::new(),
            http: Http::default(),
            auth: Auth::default(),
            attachments: Attachments::default(),
            health: Health::default(),
            mongodb: MongoDb::default(),
            amqp: Amqp::default(),
            writer: Writer::default(),
            manager: Manager::default(),
            baker: Baker::default(),
            notify: Notify::default(),
            email: Email::default(),
            sms: Sms::default(),
            webhook: Webhook::default(),
            feed: Feed::default(),
            orders: Orders::default(),
            log: Log::default(),
        }
    }
}

fn host() -> String {
    let name = std::env::var("HOSTNAME").ok();
    let name = name.or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    name.map_or_else(|| "local".into(), |name| name.trim().to_owned())
}

impl Amqp {
    fn check(&self) -> Result<()> {
        let Some(url) = &self.management_uri else {
            return Ok(());
        };
        ensure!(
            url.is_protected(),
            "amqp.management_uri: expected https://, or a server on this machine: over http:// \
             anybody on the way could read the password"
        );
        ensure!(
            self.uri.is_some(),
            "amqp.management_uri: without amqp.uri there is no broker to check"
        );
        Ok(())
    }
}

impl Default for Amqp {
    fn default() -> Self {
        Self {
            uri: None,
            management_uri: None,
            prefix: String::new(),
            confirm_timeout: Duration::from_secs(5),
            prefetch: 2_000,
        }
    }
}

impl Default for Writer {
    fn default() -> Self {
        Self { max_batch: 500 }
    }
}

impl Default for Manager {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_millis(200),
            max_batch: 500,
            lease_ttl: Duration::from_secs(1),
        }
    }
}

impl Default for Baker {
    fn default() -> Self {
        Self {
            sweep_interval: Duration::from_millis(500),
            max_batch: 500,
            lease_ttl: Duration::from_secs(1),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            filter: "info".into(),
        }
    }
}

impl Settings {
    /// As events-writer takes them.
    #[must_use]
    pub fn for_writer(&self) -> WriterSettings {
        WriterSettings {
            max_batch: self.writer.max_batch,
        }
    }

    /// As orders-manager takes them.
    #[must_use]
    pub fn for_manager(&self) -> ManagerSettings {
        ManagerSettings {
            instance: self.instance.clone(),
            poll_interval: self.manager.poll_interval,
            max_batch: self.manager.max_batch,
            lease_ttl: self.manager.lease_ttl,
        }
    }

    /// As data-baker takes them.
    #[must_use]
    pub fn for_baker(&self) -> BakerSettings {
        BakerSettings {
            instance: self.instance.clone(),
            sweep_interval: self.baker.sweep_interval,
            max_batch: self.baker.max_batch,
            lease_ttl: self.baker.lease_ttl,
        }
    }

    /// As read models and process managers take them.
    #[must_use]
    pub fn for_handlers(&self) -> HandlerSettings {
        HandlerSettings {
            instance: self.instance.clone(),
            sweep_interval: self.baker.sweep_interval,
            max_batch: self.baker.max_batch,
            lease_ttl: self.baker.lease_ttl,
        }
    }

    /// As the feed takes them.
    #[must_use]
    pub fn for_feed(&self) -> FeedSettings {
        FeedSettings {
            ring: self.feed.ring,
            sweep_interval: self.feed.sweep_interval,
        }
    }

    /// The source database's URI.
    ///
    /// # Errors
    /// [`Unset`].
    pub fn source_uri(&self) -> Result<&SecretUri, Unset> {
        let example = "mongodb://localhost:27017/source?replicaSet=rs0";
        required(&self.mongodb.source_uri, "mongodb.source_uri", example)
    }

    /// For a domain of one's own: unless they are told otherwise, it keeps its files in
    /// a folder and its queues under a prefix that nobody else has.
    #[must_use]
    pub fn of_domain(mut self, name: &str) -> Self {
        if self.data_dir == Self::default().data_dir {
            self.data_dir.push(name);
        }
        if self.amqp.prefix.is_empty() {
            self.amqp.prefix = format!("{name}.");
        }
        self
    }

    /// Whether any server is named, so that the embedded store is not meant.
    #[must_use]
    pub fn has_servers(&self) -> bool {
        self.mongodb.source_uri.is_some()
            || self.mongodb.presentation_uri.is_some()
            || self.amqp.uri.is_some()
    }

    /// The presentation database's URI.
    ///
    /// # Errors
    /// [`Unset`].
    pub fn presentation_uri(&self) -> Result<&SecretUri, Unset> {
        let example = "mongodb://localhost:27017/presentation?replicaSet=rs0";
        required(
            &self.mongodb.presentation_uri,
            "mongodb.presentation_uri",
            example,
        )
    }

    /// The broker's URI.
    ///
    /// # Errors
    /// [`Unset`].
    pub fn amqp_uri(&self) -> Result<&SecretUri, Unset> {
        required(
            &self.amqp.uri,
            "amqp.uri",
            "amqp://USER:PASSWORD@localhost:5672/%2f",
        )
    }
}

/// A setting without which this service cannot run is not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is not set ({variable}): expected something like {example}")]
pub struct Unset {
    key: &'static str,
    variable: String,
    example: &'static str,
}

fn required<'a>(
    value: &'a Option<SecretUri>,
    key: &'static str,
    example: &'static str,
) -> Result<&'a SecretUri, Unset> {
    value.as_ref().ok_or_else(|| Unset {
        key,
        variable: variable(key),
        example,
    })
}

/// The variable of a key: `http.bind` is `BAKEHOUSE_HTTP__BIND`.
pub(crate) fn variable(key: &str) -> String {
    format!("BAKEHOUSE_{}", key.replace('.', "__").to_uppercase())
}
