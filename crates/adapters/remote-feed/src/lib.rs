//! Feeds of other services, followed over HTTP as server-sent events: what everybody
//! can have, and nothing else. A feed that is away is waited for; where it was left,
//! it is gone on with.

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

/// How long it may take to reach the other side.
const CONNECT: Duration = Duration::from_secs(5);
/// Longer than any feed is silent: it pings its followers.
const SILENCE: Duration = Duration::from_secs(90);

/// A client for any number of feeds. It does not follow redirects: what it presents is meant for
/// those whose URLs it was given.
///
/// # Errors
/// When there can be none.
pub fn client() -> reqwest::Result<Client> {
    // Somebody may have installed one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .user_agent(concat!("bakehouse/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// The feed of another service.
pub struct RemoteFeed {
    connection: Connection,
    state: Arc<Mutex<State>>,
    wanted: watch::Sender<Option<Position>>,
    listener: JoinHandle<()>,
}

impl RemoteFeed {
    /// The feed of the domain `name` at `url`. Whoever has `news` is told whenever
    /// something has come. Connects once it is asked for frames, and presents the token that is
    /// in the file by then, if there is to be one.
    #[must_use]
    pub fn new(
        name: &str,
        (url, token_file): (Url, Option<PathBuf>),
        client: Client,
        news: watch::Sender<u64>,
    ) -> Self {
        let connection = Connection {
            name: name.to_owned(),
            client,
            url,
            token_file,
        };
        let state = Arc::<Mutex<State>>::default();
        let (wanted, position) = watch::channel(None);
        let listener = connection.clone().listen(state.clone(), position, news);
        Self {
            connection,
            state,
            wanted,
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
        if state.given != Some(after) {
            state.begin(after);
            self.wanted.send_replace(Some(after));
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
        state.is_live && state.waiting.is_empty()
    }
}
