//! The connection to a feed, made again whenever it ends.

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

/// Frames that wait to be taken, at most: then the other side has to wait.
const WAITING: usize = 4_000;
/// How long to wait before what did not work is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// How often it is looked whether what waits has been taken.
const LOOK: Duration = Duration::from_millis(20);
/// How long it may take until the other side has said who it is.
const WELCOME: Duration = Duration::from_secs(10);

/// Where a feed is.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) name: String,
    pub(crate) client: Client,
    pub(crate) url: Url,
    /// File of the token that is presented.
    pub(crate) token_file: Option<PathBuf>,
}

/// What has come of it.
#[derive(Default)]
pub(crate) struct State {
    /// Counts how often it was begun: what came of another beginning is not taken.
    turn: u64,
    /// Which log it must be of.
    pub(crate) epoch: Option<String>,
    /// Position of the last frame that was given out.
    pub(crate) given: Option<Position>,
    pub(crate) waiting: VecDeque<Frame>,
    /// Whether everything that there was has come.
    pub(crate) is_live: bool,
    /// Why nothing comes.
    pub(crate) fault: Option<StoreError>,
}

impl State {
    /// From after this position on.
    pub(crate) fn begin(&mut self, after: Position) {
        self.turn += 1;
        self.given = Some(after);
        self.waiting.clear();
        self.is_live = false;
    }

    pub(crate) fn take(&mut self, limit: usize) -> Vec<Frame> {
        let count = limit.min(self.waiting.len());
        let frames: Vec<Frame> = self.waiting.drain(..count).collect();
        if let Some(last) = frames.last() {
            self.given = Some(last.position);
        }
        frames
    }

    /// The position of the last frame that has come.
    fn last(&self) -> Option<Position> {
        let last = self.waiting.back().map(|frame| frame.position);
        last.or(self.given)
    }
}

pub(crate) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    /// Which log the feed is of, and how far it is.
    pub(crate) async fn head(&self) -> Result<Head, StoreError> {
        let welcome = async {
            let mut messages = self.open(None, None).await?;
            loop {
                match messages.next().await {
                    Some(Ok(Message::Welcome(head))) => return Ok(head),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    None => return Err(self.away("it ended the connection")),
                }
            }
        };
        let answer = tokio::time::timeout(WELCOME, welcome).await;
        answer.unwrap_or_else(|_| Err(self.away("no answer")))
    }

    fn away(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError::unavailable(format!("the feed {:?}: {reason}", self.name))
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
        // It may hold a secret.
        let answer = answer.map_err(|error| self.away(error.without_url()))?;
        if answer.status() == StatusCode::GONE {
            // Frames of another log must not be taken for those that follow.
            return Err(StoreError::Corrupt(format!(
                "the feed {:?} has no such position of log {}: it is of another log now",
                self.name,
                epoch.unwrap_or("unknown")
            )));
        }
        if !answer.status().is_success() {
            return Err(self.away(self.refusal(&answer)));
        }
        let this = self.clone();
        let events = answer.bytes_stream().eventsource();
        Ok(events.map(move |event| {
            let event = event.map_err(|error| this.away(error))?;
            Message::parse(&event.data).map_err(StoreError::corrupt)
        }))
    }

    /// The token that is in the file now. What is wrong with it is told without a word of it.
    async fn authorization(&self, file: &Path) -> Result<HeaderValue, StoreError> {
        let unusable = |why: String| {
            let (name, file) = (&self.name, file.display());
            self.away(format!("follow.{name}.token_file: {file}: {why}"))
        };
        let text = tokio::fs::read_to_string(file).await;
        let text = text.map_err(|error| unusable(error.kind().to_string()))?;
        let token = text.trim();
        if token.is_empty() {
            return Err(unusable("it is empty".into()));
        }
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| unusable("expected one token".into()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Message for an answer that is no feed, with the way out.
    fn refusal(&self, answer: &Response) -> String {
        let (status, name) = (answer.status(), &self.name);
        match status {
            _ if status.is_redirection() => {
                format!(
                    "it answered {status}; redirects are not followed: set follow.{name} to where it leads"
                )
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                format!("it answered {status}; see follow.{name}.token_file")
            }
            _ => format!("it answered {status}"),
        }
    }

    /// Goes on until it is aborted.
    pub(crate) async fn listen(
        self,
        state: Arc<Mutex<State>>,
        mut wanted: watch::Receiver<Option<Position>>,
        news: watch::Sender<u64>,
    ) {
        loop {
            if wanted.borrow_and_update().is_none() && wanted.changed().await.is_err() {
                return;
            }
            let fault = tokio::select! {
                fault = self.follow(&state, &news) => fault,
                _ = wanted.changed() => continue,
            };
            tracing::debug!(feed = self.name, "waiting: {fault}");
            {
                let mut state = lock(&state);
                state.is_live = false;
                state.fault = Some(fault);
            }
            news.send_modify(|count| *count += 1);
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Follows until it cannot any more; why.
    async fn follow(&self, state: &Mutex<State>, news: &watch::Sender<u64>) -> StoreError {
        let (since, epoch, turn) = {
            let state = lock(state);
            (state.last(), state.epoch.clone(), state.turn)
        };
        let mut messages = match self.open(since, epoch.as_deref()).await {
            Ok(messages) => messages,
            Err(error) => return error,
        };
        loop {
            while lock(state).waiting.len() >= WAITING {
                tokio::time::sleep(LOOK).await;
            }
            let message = match messages.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return error,
                None => return self.away("it ended the connection"),
            };
            if let Err(error) = self.take(state, turn, message) {
                return error;
            }
            news.send_modify(|count| *count += 1);
        }
    }

    fn take(&self, state: &Mutex<State>, turn: u64, message: Message) -> Result<(), StoreError> {
        let mut state = lock(state);
        if state.turn != turn {
            return Err(self.away("it is begun anew"));
        }
        match message {
            Message::Welcome(Head { epoch, .. }) => {
                state.fault = None;
                match &state.epoch {
                    Some(known) if *known != epoch => Err(StoreError::Corrupt(format!(
                        "the feed {:?} is of log {epoch} now, not of {known} any more",
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
                state.waiting.push_back(frame);
                Ok(())
            }
            Message::CloseReason(why) => Err(self.away(why)),
            Message::Ping => Ok(()),
        }
    }
}
