//! HTTP server and health server, created from the settings.
use std::net::SocketAddr;
use std::num::NonZeroU32;

use anyhow::{Context, Result, ensure};
use bakehouse_engine::Shutdown;
use bakehouse_http::auth::{
    self, AccessSettings, KeySource, Network, RateSettings, TokenSettings, TrustedProxies,
};
use bakehouse_http::exposure::{ExposureSettings, PublicUrl};
use bakehouse_http::feed::SubscriberSettings;
use bakehouse_http::routes::health::Probes;
use bakehouse_http::{AppState, ConnectionSettings, LimitSettings, Limits, Server};

#[cfg(feature = "servers")]
use crate::Tasks;
use crate::faults::plant;
use crate::settings::Auth;
use crate::{Settings, UrlOrFile};

/// Creates the HTTP server, which listens at `http.bind`.
///
/// # Errors
/// An error if the address cannot be bound, or a setting is invalid.
pub(crate) fn http(
    settings: &Settings,
    mut deps: AppState,
    probes: Probes,
    shutdown: &Shutdown,
) -> Result<Server> {
    let bind = settings.http.bind;
    let http = bakehouse_http::Settings {
        body_limit: settings.http.body_limit,
        workers: settings.http.workers,
        heartbeat: settings.feed.heartbeat,
        access: access(settings)?,
        exposure: exposure(settings)?,
        header_timeout: settings.http.header_timeout,
        body_timeout: settings.http.body_timeout,
        subscribers: SubscriberSettings {
            max: settings.feed.max_subscribers,
            max_per_client: settings.feed.max_subscribers_per_client,
            max_unauthenticated: settings.feed.max_unauthenticated,
            max_unauthenticated_per_client: settings.feed.max_unauthenticated_per_client,
        },
        connections: ConnectionSettings {
            max: settings.http.max_connections,
            max_per_client: settings.http.max_connections_per_client,
        },
        log_requests: settings.log.requests,
    };
    deps.scheduler = plant(deps.scheduler);
    let server = Server::bind(bind, deps, probes, http, shutdown)
        .with_context(|| format!("http.bind: cannot listen at {bind}"))?;
    tracing::info!("listening at http://{}", server.address());
    Ok(server)
}

fn exposure(settings: &Settings) -> Result<ExposureSettings> {
    let http = &settings.http;
    let public_url = http.public_url.as_ref().map(|url| {
        let parsed = PublicUrl::parse(&url.to_string());
        parsed.with_context(|| format!("http.public_url: {url}: host not supported"))
    });
    Ok(ExposureSettings {
        requires_token: settings.auth.is_on(),
        allowed_hosts: http.allowed_hosts.iter().map(ToString::to_string).collect(),
        cors_origins: http.cors_origins.iter().map(ToString::to_string).collect(),
        trusted_proxies: trusted_proxies(settings),
        public_url: public_url.transpose()?,
    })
}

/// Creates the limits on concurrent and expensive work of clients.
#[must_use]
pub(crate) fn limits(settings: &Settings) -> Limits {
    let http = &settings.http;
    Limits::new(&LimitSettings {
        max_waits: http.max_waits,
        max_waits_per_client: http.max_waits_per_client,
        max_log_reads: http.max_log_reads,
        max_refused_changes: http.max_refused_changes,
    })
}

fn trusted_proxies(settings: &Settings) -> TrustedProxies {
    let networks = settings.http.trusted_proxies.iter();
    let networks = networks.map(|network| Network::new(network.address(), network.prefix()));
    TrustedProxies::new(networks.collect())
}

fn access(settings: &Settings) -> Result<AccessSettings> {
    let rate = NonZeroU32::new(settings.http.rate_limit);
    let burst = NonZeroU32::new(settings.http.rate_burst);
    Ok(AccessSettings {
        tokens: tokens(&settings.auth)?,
        rate: rate
            .zip(burst)
            .map(|(per_second, burst)| RateSettings { per_second, burst }),
    })
}

fn tokens(auth: &Auth) -> Result<Option<TokenSettings>> {
    let Some(jwks) = &auth.jwks else {
        return Ok(None);
    };
    let algorithms = auth
        .algorithms
        .iter()
        .map(|name| auth::parse_algorithm(name));
    Ok(Some(TokenSettings {
        issuer: auth.issuer.clone().unwrap_or_default(),
        audience: auth.audience.clone().unwrap_or_default(),
        algorithms: algorithms
            .collect::<Result<_, _>>()
            .context("auth.algorithms")?,
        owner_claim: auth.owner_claim.clone(),
        leeway: auth.leeway,
        keys: key_source(jwks)?,
        jwks_cache_ttl: auth.jwks_cache_ttl,
    }))
}

/// Source of the token issuer's keys. A file must exist.
fn key_source(jwks: &UrlOrFile) -> Result<KeySource> {
    match jwks {
        UrlOrFile::Url(url) => Ok(KeySource::Url(url.expose().clone())),
        UrlOrFile::File(file) => {
            let name = file.display();
            ensure!(file.is_file(), "auth.jwks: {name}: no such file");
            Ok(KeySource::File(file.clone()))
        }
    }
}

/// Starts a health server, if `health.bind` is set.
///
/// # Errors
/// An error if a setting is invalid.
#[cfg(feature = "servers")]
pub(crate) fn health(
    settings: &Settings,
    probes: Probes,
    tasks: &mut Tasks,
    shutdown: &Shutdown,
) -> Result<()> {
    if let Some(bind) = settings.health.bind {
        let exposure = exposure(settings)?;
        let header_timeout = settings.http.header_timeout;
        let shutdown = shutdown.clone();
        tasks.try_run(bakehouse_http::serve_health(
            bind,
            probes,
            exposure,
            header_timeout,
            shutdown,
        ));
    }
    Ok(())
}

/// Address of the health checks of a service without an API; `None` if it has none.
#[must_use]
#[cfg(feature = "servers")]
pub(crate) fn health_address(settings: &Settings) -> Option<SocketAddr> {
    settings.health.bind
}

/// Address of the health checks of a service with an API.
#[must_use]
pub(crate) fn http_address(settings: &Settings) -> Option<SocketAddr> {
    Some(settings.http.bind)
}
