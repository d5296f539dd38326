//! The HTTP server: routes, limits, and an orderly end.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::dev::{Server as Running, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, web};
use bakehouse_engine::{Shutdown, fault_injection};

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
use crate::middleware::error_documents::uniform;
use crate::middleware::head::head;
use crate::request::path_id;
use crate::response::problem::Problem;
use crate::routes::health::{self, Probes, Readiness};
use crate::routes::{correlation, parked, read_models, rebuilds, receipt};
use crate::state::{AppState, RequestSettings};
use crate::{feed, metrics};

/// Time that open requests get at shutdown. Sockets have been told by then.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept for the next request.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Connections of a server for health checks, in all; of one client address half of them.
const MAX_HEALTH_CONNECTIONS: usize = 128;
/// Time for which an idle connection is kept for the next health check.
const HEALTH_KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Time that open health checks get at shutdown.
const HEALTH_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How api-server works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes that a body may have.
    pub body_limit: usize,
    /// Threads that answer; 0: one a core.
    pub workers: usize,
    /// How often a feed client is pinged.
    pub heartbeat: Duration,
    /// Who may do what.
    pub access: AccessSettings,
    /// Which hosts and pages are answered.
    pub exposure: ExposureSettings,
    /// How long a client may take to send a request's head.
    pub head_timeout: Duration,
    /// How long it may take to send its body.
    pub body_timeout: Duration,
    /// How many may follow the feed.
    pub places: SubscriberSettings,
    /// How many connections may be open.
    pub connections: ConnectionSettings,
}

/// A server that listens.
pub struct Server {
    address: SocketAddr,
    running: Running,
    handle: ServerHandle,
    state: web::Data<AppState>,
}

impl Server {
    /// Listens at `bind`; port 0 takes a free one. Answers once [`Server::run`] runs.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn bind(
        bind: SocketAddr,
        state: AppState,
        probes: Probes,
        settings: Settings,
        shutdown: &Shutdown,
    ) -> std::io::Result<Self> {
        metrics::begin();
        let workers = settings.workers;
        let api = state.api.clone();
        let state = web::Data::new(AppState {
            scheduler: fault_injection::entrance(state.scheduler.clone()),
            ..state
        });
        let served = state.clone();
        let positions = metrics::positions(&state);
        let readiness = web::Data::new(Readiness::new(probes));
        let access = web::Data::new(Access::new(settings.access.clone(), &state.api));
        let exposed = web::Data::new(Exposure::new(settings.exposure.clone(), bind.ip()));
        let head_timeout = settings.head_timeout;
        let places = web::Data::from(SubscriberLimits::new(settings.places));
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
        let sockets = web::Data::new(shutdown.clone());
        let in_flight = web::Data::new(InFlight::default());
        let feed = api.feed;
        let app = move || {
            App::new()
                .app_data(state.clone())
                .app_data(readiness.clone())
                .app_data(positions.clone())
                .app_data(settings.clone())
                .app_data(access.clone())
                .app_data(exposed.clone())
                .app_data(path_id::config())
                .app_data(sockets.clone())
                .app_data(places.clone())
                .app_data(in_flight.clone())
                .wrap(from_fn(head))
                .wrap(from_fn(refuse_encoded))
                .wrap(from_fn(authenticate))
                // Outside of what refuses in words of its own.
                .wrap(from_fn(uniform))
                // Outside of the guard: a refusal must reach the page as well.
                .wrap(from_fn(exposure))
                .wrap(from_fn(metrics::measure))
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
                .default_service(web::to(unknown))
        };
        let listener = Listener::bind(bind)?;
        let address = listener.address();
        let listen = ListenSettings {
            limits,
            feed: Some(feed),
            head_timeout,
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
            state: served,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until shutdown, then finishes what has begun.
    ///
    /// # Errors
    /// When the server fails by itself.
    pub async fn run(self, shutdown: Shutdown) -> std::io::Result<()> {
        let limits = self.state.limits.run(&self.state, &shutdown);
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
            // Whatever ended it, nothing is to wait for it any more.
            shutdown.cancel();
            ended
        },
        stop,
        metrics::upkeep(shutdown.clone()),
    );
    ended
}

async fn unknown(request: actix_web::HttpRequest) -> Result<HttpResponse, Problem> {
    Err(Problem::not_found(format!(
        "there is nothing at {}",
        request.path()
    )))
}

/// Answers `/health/live`, `/health/ready` and `/metrics` only, for a service without HTTP
/// of its own, until shutdown. Keeps 128 connections at most, 64 of one client address; a
/// client has `head_timeout` to send a request's head.
///
/// # Errors
/// When the address cannot be had, or the server fails by itself.
pub async fn serve_health(
    bind: SocketAddr,
    probes: Probes,
    settings: ExposureSettings,
    head_timeout: Duration,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    metrics::begin();
    let connections = ConnectionSettings {
        max: MAX_HEALTH_CONNECTIONS,
        max_per_client: MAX_HEALTH_CONNECTIONS / 2,
    };
    let proxies = settings.trusted_proxies.clone();
    let listen = ListenSettings {
        limits: ConnectionLimits::new(connections, open_files_limit(), proxies),
        feed: None,
        head_timeout,
        keep_alive: HEALTH_KEEP_ALIVE,
        workers: 1,
        drain_timeout: HEALTH_DRAIN_TIMEOUT,
    };
    let readiness = web::Data::new(Readiness::new(probes));
    let exposed = web::Data::new(Exposure::new(settings, bind.ip()));
    let app = move || {
        App::new()
            .app_data(readiness.clone())
            .app_data(exposed.clone())
            .wrap(from_fn(head))
            .wrap(from_fn(uniform))
            .wrap(from_fn(exposure))
            .wrap(from_fn(ignore_other_upgrades))
            .wrap(from_fn(track))
            .configure(health::routes)
            .configure(metrics::routes)
            .default_service(web::to(unknown))
    };
    let running = Listener::bind(bind)?.serve(listen, app)?;
    let handle = running.handle();
    run(running, handle, shutdown).await
}
