//! HTTP by the settings.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bakehouse_http::health::Probes;
use bakehouse_http::{Doors, Server};
use bakehouse_orders::intake::Defaults;
use bakehouse_pipeline::Shutdown;
use bakehouse_service::{Settings, Stages};

/// A server that listens as the settings say.
///
/// # Errors
/// When the address cannot be had.
pub fn http(
    settings: &Settings,
    doors: Doors,
    probes: Probes,
    shutdown: &Shutdown,
) -> Result<Server> {
    let bind = settings.http.bind;
    let http = bakehouse_http::Settings {
        body_limit: settings.http.body_limit,
        workers: settings.http.workers,
        heartbeat: settings.feed.heartbeat,
        defaults: Defaults {
            currency: settings.orders.currency,
        },
    };
    let server = Server::bind(bind, doors, probes, http, shutdown)
        .with_context(|| format!("http.bind: cannot listen at {bind}"))?;
    tracing::info!("listening at http://{}", server.address());
    Ok(server)
}

/// Answers health checks, if the settings say where.
pub fn health(settings: &Settings, probes: Probes, stages: &mut Stages, shutdown: &Shutdown) {
    if let Some(bind) = settings.health.bind {
        stages.try_run(bakehouse_http::serve_health(bind, probes, shutdown.clone()));
    }
}

/// Where a service without HTTP of its own answers health checks.
#[must_use]
pub fn health_address(settings: &Settings) -> Option<SocketAddr> {
    settings.health.bind
}

/// Where api-server does.
#[must_use]
pub fn http_address(settings: &Settings) -> Option<SocketAddr> {
    Some(settings.http.bind)
}
