//! Somebody who is notified over HTTP: remembers what came, and answers as told.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bakehouse_dev_servers::tls::Authority;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Received {
    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's text; empty if it has none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// Answer to a request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status; 0: none, the connection just ends.
    status: u16,
    /// URL that a redirect names.
    location: Option<HeaderValue>,
}

impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        Self {
            status,
            location: None,
        }
    }
}

type Answering = dyn Fn(Received) -> Reply + Send + Sync;

/// A server that ends when it is dropped.
pub struct Listener {
    /// Where it listens.
    pub url: String,
    task: JoinHandle<()>,
}

impl Listener {
    /// One on a free port, which answers with a status; 0: the connection just ends.
    pub async fn start<R: Into<Reply>>(
        answering: impl Fn(Received) -> R + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start_at(None, answering).await
    }

    /// Starts one, over TLS where there is an authority for its certificate.
    async fn start_at<R: Into<Reply>>(
        authority: Option<&Authority>,
        answering: impl Fn(Received) -> R + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let scheme = if authority.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/", listener.local_addr()?);
        let acceptor = authority.map(Authority::acceptor);
        let answering: Arc<Answering> = Arc::new(move |received| answering(received).into());
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answering, acceptor) = (answering.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(socket, answering).await,
                        Some(acceptor) => {
                            if let Ok(socket) = acceptor.accept(socket).await {
                                serve(socket, answering).await;
                            }
                        }
                    }
                });
            }
        });
        Ok(Self { url, task })
    }
}

async fn serve(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    answering: Arc<Answering>,
) {
    let service = service_fn(move |request| take(answering.clone(), request));
    let connection = Builder::new(TokioExecutor::new());
    let _ = connection
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Default)]
struct State {
    received: Vec<Received>,
    /// The next answers; then 204.
    answers: VecDeque<Reply>,
}

/// One that remembers everything.
pub struct Receiver {
    /// Where it listens.
    pub url: String,
    state: Arc<Mutex<State>>,
    _listener: Listener,
}

impl Receiver {
    /// One on a free port.
    pub async fn start() -> Result<Self> {
        Self::start_at(None).await
    }

    /// Starts one over TLS, with a certificate of the authority.
    pub async fn start_tls(authority: &Authority) -> Result<Self> {
        Self::start_at(Some(authority)).await
    }

    async fn start_at(authority: Option<&Authority>) -> Result<Self> {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = state.clone();
        let listener = Listener::start_at(authority, move |received| {
            let mut state = lock(&shared);
            state.received.push(received);
            state.answers.pop_front().unwrap_or(Reply::from(204))
        });
        let listener = listener.await?;
        Ok(Self {
            url: listener.url.clone(),
            state,
            _listener: listener,
        })
    }

    /// Answers the next requests with these statuses, and 204 from then on.
    pub fn answer(&self, statuses: &[u16]) {
        let replies = statuses.iter().map(|status| Reply::from(*status));
        lock(&self.state).answers.extend(replies);
    }

    /// Answers one more request with a redirect to another URL, which a client that follows it
    /// must send the same body to.
    ///
    /// # Errors
    /// When the URL cannot stand in a header.
    pub fn redirect(&self, url: &str) -> Result<()> {
        lock(&self.state).answers.push_back(Reply {
            status: StatusCode::TEMPORARY_REDIRECT.as_u16(),
            location: Some(HeaderValue::from_str(url)?),
        });
        Ok(())
    }

    /// What has come so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state).received.clone()
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn take(
    answering: Arc<Answering>,
    request: Request<Incoming>,
) -> io::Result<Response<Empty<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?;
    let reply = answering(Received {
        headers: head.headers,
        body: body.to_bytes(),
    });
    if reply.status == 0 {
        return Err(io::Error::other("there is no answer"));
    }
    let mut answer = Response::new(Empty::new());
    *answer.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
    if let Some(location) = reply.location {
        answer.headers_mut().insert(LOCATION, location);
    }
    Ok(answer)
}
