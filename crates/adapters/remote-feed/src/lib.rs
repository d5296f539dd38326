//! Feeds of other services, followed over HTTP as server-sent events: the public frames only. A
//! lost connection is opened again, and continues after the last position.

mod connection;
#[cfg(test)]
mod fuzz;
mod message;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::ports::{FeedSource, Head, StoreError};
use bakehouse_engine::{Frame, Position};
use reqwest::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

use connection::{Connection, State, lock};

/// Timeout for connecting to a service.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time without data after which a connection counts as lost; longer than the interval of a feed's
/// pings.
const READ_TIMEOUT: Duration = Duration::from_secs(90);

/// Creates an HTTP client for any number of feeds. It does not follow redirects, so that tokens are
/// sent to the configured URLs only.
///
/// # Errors
/// [`reqwest::Error`] if the client cannot be built.
pub fn client() -> reqwest::Result<Client> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("bakehouse/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// Feed of another service.
pub struct RemoteFeed {
    connection: Connection,
    state: Arc<Mutex<State>>,
    start: watch::Sender<Option<Position>>,
    listener: JoinHandle<()>,
}

impl RemoteFeed {
    /// Creates the feed of the domain `name` at `url`. `wake_signal` is incremented whenever
    /// something arrives. Connects when frames are first requested, with the current token of
    /// `token_file`, if there is one.
    #[must_use]
    pub fn new(
        name: &str,
        (url, token_file): (Url, Option<PathBuf>),
        client: Client,
        wake_signal: watch::Sender<u64>,
    ) -> Self {
        let connection = Connection {
            name: name.to_owned(),
            client,
            url,
            token_file,
        };
        let state = Arc::<Mutex<State>>::default();
        let (start, starts) = watch::channel(None);
        let listener = connection
            .clone()
            .listen(state.clone(), starts, wake_signal);
        Self {
            connection,
            state,
            start,
            listener: tokio::spawn(listener),
        }
    }
}

impl Drop for RemoteFeed {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

#[async_trait]
impl FeedSource for RemoteFeed {
    async fn head(&self) -> Result<Head, StoreError> {
        let head = self.connection.head().await?;
        let mut state = lock(&self.state);
        state.epoch = Some(head.epoch.clone());
        Ok(head)
    }

    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError> {
        let mut state = lock(&self.state);
        if state.position != Some(after) {
            state.restart(after);
            self.start.send_replace(Some(after));
            return Ok(Vec::new());
        }
        let frames = state.take(limit);
        match &state.fault {
            Some(fault) if frames.is_empty() => Err(fault.clone()),
            _ => Ok(frames),
        }
    }

    fn is_live(&self) -> bool {
        let state = lock(&self.state);
        state.is_live && state.buffer.is_empty()
    }
}
