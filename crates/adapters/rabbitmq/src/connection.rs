//! Settings of the connections, and connecting with a timeout.

use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};

/// Timeout for opening a connection; a hanging broker may accept it and never answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Heartbeat interval in seconds; a lost peer is noticed after twice that.
const HEARTBEAT_SECONDS: u16 = 5;

/// Settings of the broker.
#[derive(Clone)]
pub struct Settings {
    /// Connection string with the virtual host in its path. Secret: it may contain a password.
    pub uri: String,
    /// URL of the management API, with user and password; `None` disables the check of policies.
    /// Secret: it contains a password.
    pub management_uri: Option<String>,
    /// Connection name that the broker shows in its lists.
    pub connection_name: String,
    /// The domain's name, as in the keys `platform-event.created.NAME`.
    pub domain: &'static str,
    /// Prefix of the names of all exchanges and queues, so that several systems can share a virtual
    /// host.
    pub prefix: String,
    /// Timeout for the broker's confirmation of a message.
    pub confirm_timeout: Duration,
    /// Messages delivered to events-writer and not acknowledged at most.
    pub prefetch: u16,
}

/// Error for an invalid URI. Never contains the URI, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(String);

impl ConnectError {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }
}

/// Address of the broker, and the names of its exchanges and queues.
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
            ConnectError(format!("broker: invalid URI: {expected}"))
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        let limit = u64::try_from(CONNECT_TIMEOUT.as_millis()).unwrap_or(u64::MAX);
        uri.query.connection_timeout.get_or_insert(limit);
        Ok(Self {
            uri,
            name: settings.connection_name.clone(),
            domain: settings.domain,
            prefix: settings.prefix.clone(),
            prefetch: settings.prefetch,
        })
    }

    /// Returns the name of the virtual host.
    pub(crate) fn vhost(&self) -> &str {
        &self.uri.vhost
    }

    /// Connects without declaring anything.
    pub(crate) async fn open(&self, purpose: &str) -> Result<Connection, String> {
        let name = format!("{} ({purpose})", self.name);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = Connection::connect_uri(self.uri.clone(), properties);
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
        connected
            .map_err(|_| no_answer(CONNECT_TIMEOUT))?
            .map_err(reason)
    }
}

/// Returns the text of an error, for an operator.
pub(crate) fn reason(error: lapin::Error) -> String {
    format!("broker: {error}")
}

/// Returns the text for a broker that has not answered in time, for an operator.
pub(crate) fn no_answer(timeout: Duration) -> String {
    format!("broker: no answer within {} s", timeout.as_secs())
}
