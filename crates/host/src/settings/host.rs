//! Settings that every domain has, and what each part of the engine takes of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bakehouse_engine::feed::FeedSettings;
use bakehouse_engine::handlers::HandlerSettings;
use bakehouse_engine::stages::baker::BakerSettings;
use bakehouse_engine::stages::delivery::DeliverySettings;
use bakehouse_engine::stages::manager::ManagerSettings;
use bakehouse_engine::stages::notifier::NotifierSettings;
use bakehouse_engine::stages::writer::WriterSettings;
use serde::{Deserialize, Serialize};

use super::auth::Auth;
use super::feed::Feed;
use super::follow::FollowedFeed;
use super::health::Health;
use super::http::Http;
use super::log::Log;
use super::names::{Unset, required};
use super::notify::Notify;
use super::servers::{Amqp, MongoDb};
use super::stages::{Baker, Manager, Writer};
use super::values;
use crate::SecretUri;

/// Settings that every domain has.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Name of this instance, unique among those of its kind.
    #[serde(deserialize_with = "values::text")]
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

impl Settings {
    /// Settings of the notifier stage.
    #[must_use]
    pub fn for_notifier(&self) -> NotifierSettings {
        NotifierSettings {
            instance: self.instance.clone(),
            poll_interval: self.notify.poll_interval,
            max_batch: self.notify.max_batch,
            lease_ttl: self.notify.lease_ttl,
            retry_policy: self.notify.retry_policy(),
        }
    }

    /// Settings of the delivery of one channel.
    #[must_use]
    pub fn for_delivery(&self) -> DeliverySettings {
        DeliverySettings {
            poll_interval: self.notify.poll_interval,
            timeout: self.notify.timeout,
            concurrency: usize::from(self.notify.concurrency),
            retry_policy: self.notify.retry_policy(),
        }
    }
}
