//! Listening socket, and the HTTP library on each connection accepted from it.

use std::fmt::Debug;
use std::future::ready;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol, Request, Response};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, map_config};
use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Extensions, Server as Running, fn_service};
use actix_web::rt::net::TcpStream;

use crate::connections::{BUFFER_BYTES, ConnectionLimits, Socket};
use crate::exposure;

/// Time for a client to close its side of a connection that the server has closed. Browsers allow
/// one second; the HTTP library's clock ticks every 500 ms and misses shorter timeouts.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(600);
/// Disables the HTTP library's limit per worker: [`ConnectionLimits`] bounds the whole process.
const UNLIMITED_CONNECTIONS: usize = usize::MAX / 2;

/// Settings of a listener and its connections.
pub(crate) struct ListenSettings {
    /// Limits on open connections.
    pub(crate) limits: Arc<ConnectionLimits>,
    /// Path of the feed; `None` for a server without a feed.
    pub(crate) feed: Option<&'static str>,
    /// Time limit for a client to send a request's head.
    pub(crate) header_timeout: Duration,
    /// Time after which an idle connection is closed.
    pub(crate) keep_alive: Duration,
    /// Number of worker threads; 0: one per core.
    pub(crate) workers: usize,
    /// Time for open requests to complete at shutdown.
    pub(crate) drain_timeout: Duration,
}

/// Bound listening socket.
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds a socket to `bind`; port 0 takes a free port.
    ///
    /// # Errors
    /// An I/O error if the address cannot be bound.
    pub(crate) fn bind(bind: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(bind)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Address at which the socket listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Builds a server that runs one instance of `app` per worker thread.
    ///
    /// # Errors
    /// An I/O error if the socket cannot be set up.
    pub(crate) fn serve<F, I, S, B>(
        self,
        settings: ListenSettings,
        app: F,
    ) -> std::io::Result<Running>
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig, Error = Error> + 'static,
        S::InitError: Debug,
        S::Response: Into<Response<B>> + 'static,
        B: MessageBody + 'static,
    {
        let Self { listener, address } = self;
        let builder = Running::build()
            .max_concurrent_connections(UNLIMITED_CONNECTIONS)
            .shutdown_timeout(settings.drain_timeout.as_secs())
            .disable_signals();
        let builder = match settings.workers {
            0 => builder,
            count => builder.workers(count),
        };
        let draining = builder.graceful_shutdown_signal();
        let server = builder.listen("http", listener, move || {
            let draining = draining.clone();
            let limits = settings.limits.clone();
            let accept = move |stream: TcpStream| {
                let peer = stream.peer_addr().ok();
                let accepted = Socket::accept(stream, peer, &limits, settings.feed);
                let accepted = accepted.map(|socket| (socket, Protocol::Http1, peer));
                ready(accepted.map_err(|_| DispatchError::DisconnectTimeout))
            };
            let http = HttpService::<Socket, _, _>::build()
                .graceful_shutdown_signal(move || {
                    let draining = draining.clone();
                    async move { draining.notified().await }
                })
                .keep_alive(settings.keep_alive)
                .client_request_timeout(settings.header_timeout)
                // Waits for the client's end of stream before the socket is closed.
                .client_disconnect_timeout(CLOSE_TIMEOUT)
                .h1_write_buffer_size(BUFFER_BYTES)
                .local_addr(address)
                .on_connect_ext(|socket: &Socket, data: &mut Extensions| {
                    data.insert(socket.connection());
                    exposure::remember_local(socket.local_address(), data);
                });
            let app = app().into_factory();
            let app = app.map_err(|error: Error| error.error_response());
            let http = http.finish(map_config(app, |()| AppConfig::default()));
            fn_service(accept).and_then(http)
        })?;
        Ok(server.run())
    }
}
