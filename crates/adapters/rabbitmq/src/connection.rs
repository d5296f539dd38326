//! Connecting, within a time.

use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};

use crate::topology::{Form, TAKEN};

/// A broker that does not answer may accept the connection all the same.
const CONNECT: Duration = Duration::from_secs(5);
/// Seconds. A peer that is gone without a word is noticed after twice that.
const HEARTBEAT: u16 = 5;

/// Where the broker is.
#[derive(Clone)]
pub struct Settings {
    /// Connection string with the virtual host in its path. Holds a secret.
    pub uri: String,
    /// URL of the management API, with user and password; `None`: policies are not checked. Holds a
    /// secret.
    pub management_uri: Option<String>,
    /// Shown in the broker's lists.
    pub connection_name: String,
    /// The domain's name, as in the keys `platform-event.created.NAME`.
    pub domain: &'static str,
    /// Put before every exchange's and queue's name, so that several systems
    /// can share a virtual host.
    pub prefix: String,
    /// How long the broker may take to confirm a message.
    pub confirm_timeout: Duration,
    /// Messages that the writer may have in hand.
    pub prefetch: u16,
}

/// Why a connection string cannot be used. Never repeats the string.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(String);

impl ConnectError {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }
}

/// Where to connect to, and by what names things are there.
#[derive(Clone)]
pub(crate) struct Target {
    uri: AMQPUri,
    name: String,
    pub(crate) domain: &'static str,
    pub(crate) prefix: String,
    pub(crate) prefetch: u16,
}

impl Target {
    pub(crate) fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let mut uri: AMQPUri = settings.uri.parse().map_err(|_| {
            let expected = "expected amqp://USER:PASSWORD@HOST:PORT/VHOST";
            ConnectError(format!("broker: its URI cannot be used: {expected}"))
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT);
        let limit = u64::try_from(CONNECT.as_millis()).unwrap_or(u64::MAX);
        uri.query.connection_timeout.get_or_insert(limit);
        Ok(Self {
            uri,
            name: settings.connection_name.clone(),
            domain: settings.domain,
            prefix: settings.prefix.clone(),
            prefetch: settings.prefetch,
        })
    }

    /// Name of the virtual host.
    pub(crate) fn vhost(&self) -> &str {
        &self.uri.vhost
    }

    /// Connects for a purpose, which the broker's lists show, and declares everything that is
    /// durable. Says in which form the schedule queue is there.
    pub(crate) async fn connect(&self, purpose: &str) -> Result<(Connection, Form), String> {
        let connection = self.open(purpose).await?;
        match self.declare(&connection).await? {
            Form::Taken => Err(TAKEN.to_owned()),
            form => Ok((connection, form)),
        }
    }

    /// Connects for a purpose, and declares nothing.
    pub(crate) async fn open(&self, purpose: &str) -> Result<Connection, String> {
        let name = format!("{} ({purpose})", self.name);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = Connection::connect_uri(self.uri.clone(), properties);
        let connected = tokio::time::timeout(CONNECT, connecting).await;
        connected
            .map_err(|_| format!("the broker does not answer within {} s", CONNECT.as_secs()))?
            .map_err(reason)
    }
}

/// An error's text, for an operator.
pub(crate) fn reason(error: lapin::Error) -> String {
    format!("broker: {error}")
}
