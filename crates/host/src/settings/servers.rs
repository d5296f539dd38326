//! Sections `mongodb` and `amqp`: databases and broker.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::values;
use crate::{SecretUri, SecretUrl};

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
    #[serde(deserialize_with = "values::text")]
    pub prefix: String,
    /// Time that the broker may take to confirm an operation.
    #[serde(with = "humantime_serde")]
    pub confirm_timeout: Duration,
    /// Maximum number of messages that events-writer holds unacknowledged.
    pub prefetch: u16,
}

impl Amqp {
    pub(super) fn check(&self) -> Result<()> {
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
