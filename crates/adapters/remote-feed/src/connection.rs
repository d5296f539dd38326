//! Connection to a feed, opened again whenever it ends.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bakehouse_engine::ports::{Head, StoreError};
use bakehouse_engine::{Frame, Position};
use eventsource_stream::Eventsource;
use futures_util::{Stream, StreamExt};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Client, Response, StatusCode};
use tokio::sync::watch;
use url::Url;

use crate::message::Message;

/// Received frames that are buffered at most; beyond that nothing is read from the connection.
const MAX_BUFFERED_FRAMES: usize = 4_000;
/// Interval between attempts to connect.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Interval at which a full buffer is checked for space.
const BUFFER_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Timeout for the first message of a connection.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);

/// Address of a feed, and the client for it.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) url: Url,
    /// File with the bearer token.
    pub(crate) token_file: Option<PathBuf>,
}

/// Received part of a feed.
#[derive(Default)]
pub(crate) struct State {
    /// Number of restarts; messages of an earlier run are dropped.
    run: u64,
    /// Epoch of the log that the feed must belong to.
    pub(crate) epoch: Option<String>,
    /// Position of the last frame that was handed out.
    pub(crate) position: Option<Position>,
    /// Frames that were received and not handed out yet.
    pub(crate) buffer: VecDeque<Frame>,
    /// True once all earlier frames have been received.
    pub(crate) is_live: bool,
    /// Error of the last connection; `None` while it works.
    pub(crate) fault: Option<StoreError>,
}

impl State {
    /// Starts again after this position.
    pub(crate) fn restart(&mut self, after: Position) {
        self.run += 1;
        self.position = Some(after);
        self.buffer.clear();
        self.is_live = false;
    }

    /// Hands out at most `limit` frames.
    pub(crate) fn take(&mut self, limit: usize) -> Vec<Frame> {
        let count = limit.min(self.buffer.len());
        let frames: Vec<Frame> = self.buffer.drain(..count).collect();
        if let Some(last) = frames.last() {
            self.position = Some(last.position);
        }
        frames
    }

    /// Returns the position of the last frame received.
    fn last_received(&self) -> Option<Position> {
        let last = self.buffer.back().map(|frame| frame.position);
        last.or(self.position)
    }
}

pub(crate) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    /// Fetches epoch and head of the feed's log.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the service does not answer in time, or refuses.
    pub(crate) async fn head(&self) -> Result<Head, StoreError> {
        let welcome = async {
            let mut messages = self.open(None, None).await?;
            loop {
                match messages.next().await {
                    Some(Ok(Message::Welcome(head))) => return Ok(head),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Err(self.unavailable("connection closed by the server")),
                }
            }
        };
        let answer = tokio::time::timeout(WELCOME_TIMEOUT, welcome).await;
        answer.unwrap_or_else(|_| {
            let seconds = WELCOME_TIMEOUT.as_secs();
            Err(self.unavailable(format!("no answer within {seconds} s")))
        })
    }

    fn unavailable(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError::unavailable(format!("feed {:?}: {reason}", self.name))
    }

    async fn open(
        &self,
        since: Option<Position>,
        epoch: Option<&str>,
    ) -> Result<impl Stream<Item = Result<Message, StoreError>> + Unpin, StoreError> {
        let mut url = self.url.clone();
        if let Some(since) = since {
            url.query_pairs_mut()
                .append_pair("since", &since.to_string());
        }
        if let Some(epoch) = epoch {
            url.query_pairs_mut().append_pair("epoch", epoch);
        }
        let mut request = self.client.get(url).header(ACCEPT, "text/event-stream");
        if let Some(file) = &self.token_file {
            request = request.header(AUTHORIZATION, self.authorization(file).await?);
        }
        let answer = request.send().await;
        // Without the URL, which may contain a secret.
        let answer = answer.map_err(|error| self.unavailable(failure(&error.without_url())))?;
        if answer.status() == StatusCode::GONE {
            // Not retried as unavailable: frames of another log must not be taken as the next ones.
            return Err(StoreError::Corrupt(format!(
                "feed {:?}: position not found in log {}: the service has another log now",
                self.name,
                epoch.unwrap_or("unknown")
            )));
        }
        if !answer.status().is_success() {
            return Err(self.unavailable(self.refusal(&answer)));
        }
        let this = self.clone();
        let events = answer.bytes_stream().eventsource();
        Ok(events.map(move |event| {
            let event = event.map_err(|error| this.unavailable(error))?;
            let message = Message::parse(&event.data);
            message.map_err(|error| StoreError::Corrupt(format!("feed {:?}: {error}", this.name)))
        }))
    }

    /// Reads the current token from the file. Errors never contain the token.
    async fn authorization(&self, file: &Path) -> Result<HeaderValue, StoreError> {
        let unusable = |reason: String| {
            let (name, file) = (&self.name, file.display());
            self.unavailable(format!("follow.{name}.token_file: {file}: {reason}"))
        };
        let text = tokio::fs::read_to_string(file).await;
        let text = text.map_err(|error| unusable(error.kind().to_string()))?;
        let token = text.trim();
        if token.is_empty() {
            return Err(unusable("the file is empty".into()));
        }
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| unusable("expected one line with the token".into()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Describes an unsuccessful answer, with the way out.
    fn refusal(&self, answer: &Response) -> String {
        let (status, name) = (answer.status(), &self.name);
        match status {
            _ if status.is_redirection() => {
                format!(
                    "status {status}: redirects are not followed; set follow.{name} to the new URL"
                )
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                format!("status {status}; check follow.{name}.token_file")
            }
            _ => format!("status {status}"),
        }
    }

    /// Keeps the feed connected, and increments `wake_signal` whenever something arrives. Ends when
    /// the sender of `starts` is dropped.
    pub(crate) async fn listen(
        self,
        state: Arc<Mutex<State>>,
        mut starts: watch::Receiver<Option<Position>>,
        wake_signal: watch::Sender<u64>,
    ) {
        loop {
            if starts.borrow_and_update().is_none() && starts.changed().await.is_err() {
                return;
            }
            let fault = tokio::select! {
                fault = self.receive(&state, &wake_signal) => fault,
                _ = starts.changed() => continue,
            };
            tracing::debug!(feed = self.name, "reconnecting: {fault}");
            {
                let mut state = lock(&state);
                state.is_live = false;
                state.fault = Some(fault);
            }
            wake_signal.send_modify(|count| *count += 1);
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    /// Connects and receives messages until an error, which it returns.
    async fn receive(&self, state: &Mutex<State>, wake_signal: &watch::Sender<u64>) -> StoreError {
        let (since, epoch, run) = {
            let state = lock(state);
            (state.last_received(), state.epoch.clone(), state.run)
        };
        let mut messages = match self.open(since, epoch.as_deref()).await {
            Ok(messages) => messages,
            Err(error) => return error,
        };
        loop {
            while lock(state).buffer.len() >= MAX_BUFFERED_FRAMES {
                tokio::time::sleep(BUFFER_POLL_INTERVAL).await;
            }
            let message = match messages.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return error,
                None => return self.unavailable("connection closed by the server"),
            };
            if let Err(error) = self.apply(state, run, message) {
                return error;
            }
            wake_signal.send_modify(|count| *count += 1);
        }
    }

    fn apply(&self, state: &Mutex<State>, run: u64, message: Message) -> Result<(), StoreError> {
        let mut state = lock(state);
        if state.run != run {
            return Err(self.unavailable("restarted from another position"));
        }
        match message {
            Message::Welcome(Head { epoch, .. }) => {
                state.fault = None;
                match &state.epoch {
                    Some(known) if *known != epoch => Err(StoreError::Corrupt(format!(
                        "feed {:?}: belongs to log {epoch} now, not to {known}",
                        self.name
                    ))),
                    _ => Ok(()),
                }
            }
            Message::Live => {
                state.is_live = true;
                Ok(())
            }
            Message::Frame(frame) => {
                state.buffer.push_back(frame);
                Ok(())
            }
            Message::CloseReason(reason) => Err(self.unavailable(reason)),
            Message::Ping => Ok(()),
        }
    }
}

/// Returns the innermost cause of a failed request, which is more specific than its own text.
fn failure(error: &reqwest::Error) -> String {
    let mut text = "request failed".to_owned();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("request failed: {error}");
        source = error.source();
    }
    text
}
