//! HTTP server that receives notifications, records them and responds as configured.

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

/// Received request.
#[derive(Clone, Debug)]
pub struct Received {
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Received {
    /// Returns the body as JSON; null if it is not valid JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns the text of a header; empty if it is missing or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// Response to a request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status; 0 closes the connection without a response.
    status: u16,
    /// Target URL of a redirect.
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

type Responder = dyn Fn(Received) -> Reply + Send + Sync;

/// Running server; dropping it ends it.
pub struct Listener {
    /// URL of the server.
    pub url: String,
    task: JoinHandle<()>,
}

impl Listener {
    /// Starts a server on a free port. The function returns the status of each response; 0 closes
    /// the connection without a response.
    pub async fn start<R: Into<Reply>>(
        responder: impl Fn(Received) -> R + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::start_at(None, responder).await
    }

    /// Starts a server, over TLS if there is an authority for its certificate.
    async fn start_at<R: Into<Reply>>(
        authority: Option<&Authority>,
        responder: impl Fn(Received) -> R + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let scheme = if authority.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/", listener.local_addr()?);
        let acceptor = authority.map(Authority::acceptor);
        let responder: Arc<Responder> = Arc::new(move |received| responder(received).into());
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (responder, acceptor) = (responder.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(socket, responder).await,
                        Some(acceptor) => {
                            if let Ok(socket) = acceptor.accept(socket).await {
                                serve(socket, responder).await;
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
    responder: Arc<Responder>,
) {
    let service = service_fn(move |request| respond(responder.clone(), request));
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
    /// Next responses; after them each request is answered with 204.
    answers: VecDeque<Reply>,
}

/// Server that records all requests.
pub struct Receiver {
    /// URL of the server.
    pub url: String,
    state: Arc<Mutex<State>>,
    _listener: Listener,
}

impl Receiver {
    /// Starts a receiver on a free port.
    pub async fn start() -> Result<Self> {
        Self::start_at(None).await
    }

    /// Starts a receiver over TLS, with a certificate of the authority.
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

    /// Responds to the next requests with these statuses, and with 204 after them.
    pub fn answer(&self, statuses: &[u16]) {
        let replies = statuses.iter().map(|status| Reply::from(*status));
        lock(&self.state).answers.extend(replies);
    }

    /// Responds to one more request with a temporary redirect (307) to another URL.
    ///
    /// # Errors
    /// When the URL is not a valid header value.
    pub fn redirect(&self, url: &str) -> Result<()> {
        lock(&self.state).answers.push_back(Reply {
            status: StatusCode::TEMPORARY_REDIRECT.as_u16(),
            location: Some(HeaderValue::from_str(url)?),
        });
        Ok(())
    }

    /// Returns the requests received so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.state).received.clone()
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn respond(
    responder: Arc<Responder>,
    request: Request<Incoming>,
) -> io::Result<Response<Empty<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?;
    let reply = responder(Received {
        headers: head.headers,
        body: body.to_bytes(),
    });
    if reply.status == 0 {
        return Err(io::Error::other("no response configured"));
    }
    let mut answer = Response::new(Empty::new());
    *answer.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
    if let Some(location) = reply.location {
        answer.headers_mut().insert(LOCATION, location);
    }
    Ok(answer)
}
