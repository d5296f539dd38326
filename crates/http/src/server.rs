//! HTTP server: routes, middleware, limits and graceful shutdown.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::{Server as Running, ServerHandle};
use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, HttpResponse, web};
use bakehouse_engine::Shutdown;

use crate::accept::InFlight;
use crate::auth::middleware::authenticate;
use crate::auth::{Access, AccessSettings};
use crate::connections::{
    ConnectionLimits, ConnectionSettings, ignore_other_upgrades, open_files_limit, track,
};
use crate::exposure::{Exposure, ExposureSettings, exposure};
use crate::feed::{SubscriberLimits, SubscriberSettings};
use crate::listener::{ListenSettings, Listener};
use crate::middleware::content_coding::refuse_encoded;
use crate::middleware::error_documents::convert_errors;
use crate::middleware::head::head;
use crate::middleware::request_log::log_request;
use crate::request::path_id;
use crate::response::problem::Problem;
use crate::routes::health::{self, Probes, Readiness};
use crate::routes::{correlation, parked, read_models, rebuilds, receipt};
use crate::state::{AppState, RequestSettings};
use crate::{feed, metrics};

/// Time for open requests to complete at shutdown. Websockets are closed before.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Time after which an idle connection is closed.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Maximum number of connections of a health server; half of them per client address.
const MAX_HEALTH_CONNECTIONS: usize = 128;
/// Time after which an idle connection of a health server is closed.
const HEALTH_KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Time for open health checks to complete at shutdown.
const HEALTH_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Settings of the HTTP server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Maximum length of a request body, in bytes.
    pub body_limit: usize,
    /// Number of worker threads; 0: one per core.
    pub workers: usize,
    /// Interval of pings to a feed subscriber.
    pub heartbeat: Duration,
    /// Settings of authentication and rate limits.
    pub access: AccessSettings,
    /// Settings of host checks, CORS and proxies.
    pub exposure: ExposureSettings,
    /// Time limit for a client to send a request's head.
    pub header_timeout: Duration,
    /// Time limit for a client to send a request's body.
    pub body_timeout: Duration,
    /// Limits on feed subscribers.
    pub subscribers: SubscriberSettings,
    /// Limits on open connections.
    pub connections: ConnectionSettings,
    /// True if each request is logged, at level info.
    pub log_requests: bool,
}

/// HTTP server with a bound socket.
pub struct Server {
    address: SocketAddr,
    running: Running,
    handle: ServerHandle,
    state: web::Data<AppState>,
}

impl Server {
    /// Binds the server to `bind`; port 0 takes a free port. Requests are served once
    /// [`Server::run`] is polled.
    ///
    /// # Errors
    /// An I/O error if the address cannot be bound.
    pub fn bind(
        bind: SocketAddr,
        state: AppState,
        probes: Probes,
        settings: Settings,
        shutdown: &Shutdown,
    ) -> std::io::Result<Self> {
        metrics::install();
        let workers = settings.workers;
        let api = state.api.clone();
        let state = web::Data::new(state);
        let shared_state = state.clone();
        let positions = metrics::positions(&state);
        let readiness = web::Data::new(Readiness::new(probes));
        let access = web::Data::new(Access::new(settings.access.clone(), &state.api));
        let exposure_state = web::Data::new(Exposure::new(settings.exposure.clone(), bind.ip()));
        let header_timeout = settings.header_timeout;
        let log_requests = settings.log_requests;
        let subscriber_limits = web::Data::from(SubscriberLimits::new(settings.subscribers));
        let limits = ConnectionLimits::new(
            settings.connections,
            open_files_limit(),
            settings.exposure.trusted_proxies.clone(),
        );
        let settings = web::Data::new(RequestSettings {
            body_limit: settings.body_limit,
            body_timeout: settings.body_timeout,
            heartbeat: settings.heartbeat,
        });
        let shutdown_signal = web::Data::new(shutdown.clone());
        let in_flight = web::Data::new(InFlight::default());
        let feed = api.feed;
        let app = move || {
            App::new()
                .app_data(state.clone())
                .app_data(readiness.clone())
                .app_data(positions.clone())
                .app_data(settings.clone())
                .app_data(access.clone())
                .app_data(exposure_state.clone())
                .app_data(path_id::config())
                .app_data(shutdown_signal.clone())
                .app_data(subscriber_limits.clone())
                .app_data(in_flight.clone())
                .wrap(from_fn(head))
                .wrap(from_fn(refuse_encoded))
                .wrap(from_fn(authenticate))
                // Outside of the middleware above, whose error responses it rewrites.
                .wrap(from_fn(convert_errors))
                // Outside of authentication: pages must be able to read its errors as well.
                .wrap(from_fn(exposure))
                .wrap(from_fn(metrics::measure))
                .wrap(Condition::new(log_requests, from_fn(log_request)))
                .wrap(from_fn(ignore_other_upgrades))
                .wrap(from_fn(track))
                .configure(|config| (api.routes)(config))
                .configure(receipt::routes)
                .configure(correlation::routes)
                .configure(parked::routes)
                .configure(read_models::routes)
                .configure(rebuilds::routes)
                .configure(health::routes)
                .configure(metrics::routes)
                .configure(|config| feed::routes(config, api.feed))
                .default_service(web::to(not_found))
        };
        let listener = Listener::bind(bind)?;
        let address = listener.address();
        let listen = ListenSettings {
            limits,
            feed: Some(feed),
            header_timeout,
            keep_alive: KEEP_ALIVE,
            workers,
            drain_timeout: DRAIN_TIMEOUT,
        };
        let running = listener.serve(listen, app)?;
        let handle = running.handle();
        Ok(Self {
            address,
            running,
            handle,
            state: shared_state,
        })
    }

    /// Address at which the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves requests until shutdown, then drains the open ones.
    ///
    /// # Errors
    /// An I/O error if the server fails.
    pub async fn run(self, shutdown: Shutdown) -> std::io::Result<()> {
        let state = &self.state;
        let log = state.log.as_ref();
        let limits = state.limits.run(log, &state.feed, &state.api, &shutdown);
        let (ended, ()) = tokio::join!(run(self.running, self.handle, shutdown.clone()), limits);
        ended
    }
}

async fn run(running: Running, handle: ServerHandle, shutdown: Shutdown) -> std::io::Result<()> {
    let stop = async {
        shutdown.cancelled().await;
        handle.stop(true).await;
    };
    let (ended, (), ()) = tokio::join!(
        async {
            let ended = running.await;
            // Also ends the other two futures if the server has failed.
            shutdown.cancel();
            ended
        },
        stop,
        metrics::upkeep(shutdown.clone()),
    );
    ended
}

async fn not_found(request: actix_web::HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::not_found(format!(
        "there is nothing at {}",
        request.path()
    )))
}

/// Serves only `/health/live`, `/health/ready` and `/metrics` until shutdown, for a service
/// without an HTTP API. Accepts at most 128 connections, 64 per client address; a client has
/// `header_timeout` to send a request's head.
///
/// # Errors
/// An I/O error if the address cannot be bound or the server fails.
pub async fn serve_health(
    bind: SocketAddr,
    probes: Probes,
    settings: ExposureSettings,
    header_timeout: Duration,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    metrics::install();
    let connections = ConnectionSettings {
        max: MAX_HEALTH_CONNECTIONS,
        max_per_client: MAX_HEALTH_CONNECTIONS / 2,
    };
    let proxies = settings.trusted_proxies.clone();
    let listen = ListenSettings {
        limits: ConnectionLimits::new(connections, open_files_limit(), proxies),
        feed: None,
        header_timeout,
        keep_alive: HEALTH_KEEP_ALIVE,
        workers: 1,
        drain_timeout: HEALTH_DRAIN_TIMEOUT,
    };
    let readiness = web::Data::new(Readiness::new(probes));
    let exposure_state = web::Data::new(Exposure::new(settings, bind.ip()));
    let app = move || {
        App::new()
            .app_data(readiness.clone())
            .app_data(exposure_state.clone())
            .wrap(from_fn(head))
            .wrap(from_fn(convert_errors))
            .wrap(from_fn(exposure))
            .wrap(from_fn(ignore_other_upgrades))
            .wrap(from_fn(track))
            .configure(health::routes)
            .configure(metrics::routes)
            .default_service(web::to(not_found))
    };
    let running = Listener::bind(bind)?.serve(listen, app)?;
    let handle = running.handle();
    run(running, handle, shutdown).await
}
