//! Settings of all services: one TOML file (`--config`) or one environment for all of them.
//!
//! Environment variables override the file: `BAKEHOUSE_HTTP__BIND` is `bind` in the section
//! `http`. A domain adds sections of its own: see [`DomainSettings`].

mod auth;
mod domain;
mod exposure;
mod faults;
mod feed;
mod follow;
mod health;
mod http;
pub(crate) mod load;
mod notify;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
pub use auth::Auth;
use bakehouse_engine::feed::FeedSettings;
use bakehouse_engine::handlers::HandlerSettings;
use bakehouse_engine::stages::baker::BakerSettings;
use bakehouse_engine::stages::manager::ManagerSettings;
use bakehouse_engine::stages::writer::WriterSettings;
pub use domain::{Configuration, DomainSettings, InvalidSetting, NoSettings};
pub use exposure::{AllowedHost, AllowedOrigin, Network, PublicUrl};
pub use feed::Feed;
pub use follow::FollowedFeed;
pub use health::Health;
pub use http::Http;
pub use load::{list, uris};
pub use notify::Notify;
use serde::{Deserialize, Serialize};

use crate::{SecretUri, SecretUrl};

/// Settings that every domain has.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Name of this instance, unique among those of its kind.
    #[serde(deserialize_with = "load::text")]
    pub instance: String,
    /// Folder of the embedded store.
    pub data_dir: PathBuf,
    /// Execution mode: when a response is sent, and whether data is stored.
    pub mode: Mode,
    /// Feeds of other services, by the names of their domains.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub follow: BTreeMap<String, FollowedFeed>,
    /// HTTP server of api-server.
    pub http: Http,
    /// Bearer tokens.
    pub auth: Auth,
    /// Health checks.
    pub health: Health,
    /// MongoDB.
    pub mongodb: MongoDb,
    /// RabbitMQ.
    pub amqp: Amqp,
    /// Stage events-writer.
    pub writer: Writer,
    /// Stage orders-manager.
    pub manager: Manager,
    /// Stage data-baker.
    pub baker: Baker,
    /// Stage notifier.
    pub notify: Notify,
    /// Feed.
    pub feed: Feed,
    /// Logs.
    pub log: Log,
}

/// Execution mode: when a response is sent, and whether data is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A response waits until the operation is durable; the stages run in the background.
    #[default]
    Asynchronous,
    /// A response waits until the operation and all of its effects are durable, in one
    /// transaction. Requires the embedded store.
    Synchronous,
    /// Like synchronous, but in memory: all data is lost when the process ends.
    Memory,
}

/// Settings of MongoDB.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct MongoDb {
    /// URI of the source database, with its name in the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_uri: Option<SecretUri>,
    /// URI of the presentation database, with its name in the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presentation_uri: Option<SecretUri>,
    /// True if replica sets of the URIs are initiated where needed.
    pub initiate_replica_set: bool,
}

/// Settings of RabbitMQ.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Amqp {
    /// URI of the broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<SecretUri>,
    /// URL of the broker's management API, with user and password; unset: policies are not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub management_uri: Option<SecretUrl>,
    /// Prefix of the names of exchanges and queues.
    #[serde(deserialize_with = "load::text")]
    pub prefix: String,
    /// Time that the broker may take to confirm an operation.
    #[serde(with = "humantime_serde")]
    pub confirm_timeout: Duration,
    /// Maximum number of messages that events-writer holds unacknowledged.
    pub prefetch: u16,
}

/// Settings of events-writer.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Writer {
    /// Maximum number of entries in a batch.
    pub max_batch: usize,
}

/// Settings of orders-manager.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Manager {
    /// Interval at which the stage polls the log without a notice.
    #[serde(with = "humantime_serde")]
    pub poll_interval: Duration,
    /// Maximum number of entries in a batch.
    pub max_batch: usize,
    /// Lifetime of the lease: time after which a standby takes over.
    #[serde(with = "humantime_serde")]
    pub lease_ttl: Duration,
}

/// Settings of data-baker.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Baker {
    /// Interval at which the stage polls for executed operations without a notice.
    #[serde(with = "humantime_serde", alias = "sweep_interval")]
    pub poll_interval: Duration,
    /// Maximum number of entries in a batch.
    pub max_batch: usize,
    /// Lifetime of the lease: time after which a standby takes over.
    #[serde(with = "humantime_serde")]
    pub lease_ttl: Duration,
}

/// Settings of logs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Format of the lines.
    pub format: LogFormat,
    /// Levels by target, as in `info,bakehouse_engine=debug`.
    pub filter: String,
    /// True if each HTTP request is logged, at level info.
    pub requests: bool,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Text.
    Human,
    /// JSON, one object per line.
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
            health: Health::default(),
            mongodb: MongoDb::default(),
            amqp: Amqp::default(),
            writer: Writer::default(),
            manager: Manager::default(),
            baker: Baker::default(),
            notify: Notify::default(),
            feed: Feed::default(),
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
             an attacker on the network path could read the password"
        );
        ensure!(
            self.uri.is_some(),
            "amqp.management_uri: set amqp.uri as well: without it there is no broker to check"
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
            poll_interval: Duration::from_millis(500),
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
            requests: false,
        }
    }
}

impl Settings {
    /// Settings of the stage events-writer.
    #[must_use]
    pub fn for_writer(&self) -> WriterSettings {
        WriterSettings {
            max_batch: self.writer.max_batch,
        }
    }

    /// Settings of the stage orders-manager.
    #[must_use]
    pub fn for_manager(&self) -> ManagerSettings {
        ManagerSettings {
            instance: self.instance.clone(),
            poll_interval: self.manager.poll_interval,
            max_batch: self.manager.max_batch,
            lease_ttl: self.manager.lease_ttl,
        }
    }

    /// Settings of the stage data-baker.
    #[must_use]
    pub fn for_baker(&self) -> BakerSettings {
        BakerSettings {
            instance: self.instance.clone(),
            poll_interval: self.baker.poll_interval,
            max_batch: self.baker.max_batch,
            lease_ttl: self.baker.lease_ttl,
        }
    }

    /// Settings of read models and process managers.
    #[must_use]
    pub fn for_handlers(&self) -> HandlerSettings {
        HandlerSettings {
            instance: self.instance.clone(),
            poll_interval: self.baker.poll_interval,
            max_batch: self.baker.max_batch,
            lease_ttl: self.baker.lease_ttl,
        }
    }

    /// Settings of the feed.
    #[must_use]
    pub fn for_feed(&self) -> FeedSettings {
        FeedSettings {
            ring: self.feed.buffer_frames,
            poll_interval: self.feed.poll_interval,
        }
    }

    /// URI of the source database.
    ///
    /// # Errors
    /// [`Unset`] if it is not set.
    pub fn source_uri(&self) -> Result<&SecretUri, Unset> {
        let example = "mongodb://localhost:27017/source?replicaSet=rs0";
        required(&self.mongodb.source_uri, "mongodb.source_uri", example)
    }

    /// Gives a domain a folder and a queue prefix of its own, unless the settings name others.
    #[must_use]
    pub fn in_namespace(mut self, name: &str) -> Self {
        if self.data_dir == Self::default().data_dir {
            self.data_dir.push(name);
        }
        if self.amqp.prefix.is_empty() {
            self.amqp.prefix = format!("{name}.");
        }
        self
    }

    /// True if MongoDB or RabbitMQ is configured, so that the embedded store is not used.
    #[must_use]
    pub fn has_servers(&self) -> bool {
        self.mongodb.source_uri.is_some()
            || self.mongodb.presentation_uri.is_some()
            || self.amqp.uri.is_some()
    }

    /// URI of the presentation database.
    ///
    /// # Errors
    /// [`Unset`] if it is not set.
    pub fn presentation_uri(&self) -> Result<&SecretUri, Unset> {
        let example = "mongodb://localhost:27017/presentation?replicaSet=rs0";
        required(
            &self.mongodb.presentation_uri,
            "mongodb.presentation_uri",
            example,
        )
    }

    /// URI of the broker.
    ///
    /// # Errors
    /// [`Unset`] if it is not set.
    pub fn amqp_uri(&self) -> Result<&SecretUri, Unset> {
        required(
            &self.amqp.uri,
            "amqp.uri",
            "amqp://USER:PASSWORD@localhost:5672/%2f",
        )
    }
}

/// Error: a setting that this service needs is not set.
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

/// Environment variable of a key: `BAKEHOUSE_HTTP__BIND` for `http.bind`.
pub(crate) fn variable(key: &str) -> String {
    format!("BAKEHOUSE_{}", key.replace('.', "__").to_uppercase())
}
