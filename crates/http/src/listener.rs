//! A listening socket, and the HTTP library on each connection that is accepted at it.

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

/// Time that a client that has been sent away gets to close its side. Browsers
/// give us a second; and below the 500 ms in which the server's clock ticks, the
/// time may be over before it is looked at, which is then forgotten.
const GOODBYE: Duration = Duration::from_millis(600);
/// More connections than a worker can have: the process has a bound of its own.
const UNBOUNDED: usize = usize::MAX / 2;

/// Settings of how connections are accepted and kept.
pub(crate) struct ListenSettings {
    /// Bounds on connections.
    pub(crate) limits: Arc<ConnectionLimits>,
    /// Path of the feed, if there is one.
    pub(crate) feed: Option<&'static str>,
    /// Time that a client may take to send a request's head.
    pub(crate) head_timeout: Duration,
    /// Time for which an idle connection is kept for the next request.
    pub(crate) keep_alive: Duration,
    /// Threads that answer; 0: one a core.
    pub(crate) workers: usize,
    /// Time that open requests get at shutdown.
    pub(crate) drain_timeout: Duration,
}

/// A bound socket.
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens at `bind`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub(crate) fn bind(bind: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(bind)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Address at which it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests with an app of its own for each thread.
    ///
    /// # Errors
    /// When the system refuses the socket.
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
            .max_concurrent_connections(UNBOUNDED)
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
                .client_request_timeout(settings.head_timeout)
                // What closes last is to be told by the other side.
                .client_disconnect_timeout(GOODBYE)
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
