//! The servers that the four services stand between, opened by the settings.
//! For mains only: nothing else chooses who stands behind a door.

use std::net::SocketAddr;

use anyhow::Result;
use bakehouse_http::health::Probes;
use bakehouse_http::{Doors, Server};
use bakehouse_mongodb::{PresentationDatabase, SourceDatabase};
use bakehouse_orders::Orders;
use bakehouse_orders::intake::Defaults;
use bakehouse_pipeline::{Domain, Shutdown};
use bakehouse_rabbitmq::Broker;
use bakehouse_service::settings::Settings;
use bakehouse_service::{SecretUri, Stages};

/// Collections of source orders, and of presentation documents.
const ORDERS: &str = "orders";

/// The source database.
///
/// # Errors
/// When its URI is not set or cannot be used.
pub async fn source(settings: &Settings) -> Result<SourceDatabase> {
    let at = mongodb(settings, settings.source_uri()?);
    Ok(SourceDatabase::new(&at, ORDERS).await?)
}

/// The presentation database.
///
/// # Errors
/// When its URI is not set or cannot be used.
pub async fn presentation(settings: &Settings) -> Result<PresentationDatabase> {
    let at = mongodb(settings, settings.presentation_uri()?);
    Ok(PresentationDatabase::new(&at, ORDERS).await?)
}

fn mongodb(settings: &Settings, uri: &SecretUri) -> bakehouse_mongodb::Settings {
    bakehouse_mongodb::Settings {
        uri: uri.expose().to_owned(),
        app_name: settings.instance.clone(),
        initiate_replica_set: settings.mongodb.initiate_replica_set,
    }
}

/// The broker.
///
/// # Errors
/// When its URI is not set or cannot be used.
pub fn broker(settings: &Settings) -> Result<Broker> {
    Ok(Broker::new(&bakehouse_rabbitmq::Settings {
        uri: settings.amqp_uri()?.expose().to_owned(),
        connection_name: settings.instance.clone(),
        domain: Orders::NAME,
        prefix: settings.amqp.prefix.clone(),
        confirm_timeout: settings.amqp.confirm_timeout,
        prefetch: settings.amqp.prefetch,
    })?)
}

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
    use anyhow::Context as _;
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
