//! All four services in one process.

use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use bakehouse_embedded::Embedded;
use bakehouse_http::{Doors, Menu};
use bakehouse_pipeline::backoff::Backoff;
use bakehouse_pipeline::baker::{self, BakerDoors};
use bakehouse_pipeline::feed::Feed;
use bakehouse_pipeline::manager::{self, ManagerDoors};
use bakehouse_pipeline::ports::EventLog;
use bakehouse_pipeline::writer::{self, WriterDoors};
use bakehouse_pipeline::{Domain, Shutdown, check};
use bakehouse_service::{Service, Settings, Stages};

use crate::{World, edge};

/// The whole main of a domain: command line, settings, logs, all four services, and
/// an orderly end. On the embedded store; or, where the settings name MongoDB and
/// RabbitMQ (`mongodb.source_uri`, `mongodb.presentation_uri`, `amqp.uri`), on those.
pub fn main<D: Domain>(name: &'static str, about: &'static str, menu: Menu) -> ExitCode {
    let service = Service {
        name,
        about,
        health: edge::http_address,
        domain: Some(D::NAME),
    };
    bakehouse_service::main(service, async |settings, shutdown| {
        check::<D>().map_err(|fault| anyhow!("the domain {name}: {fault}"))?;
        let mut stages = Stages::new(&shutdown);
        let world = open::<D>(&settings, &shutdown).await?;
        serve::<D>(world, menu, &settings, &mut stages, &shutdown).await?;
        stages.ended().await
    })
}

/// The world that the settings name.
async fn open<D: Domain>(settings: &Settings, shutdown: &Shutdown) -> Result<World> {
    #[cfg(feature = "servers")]
    if settings.has_servers() {
        return crate::servers::open::<D>(settings, shutdown).await;
    }
    let _ = shutdown;
    let store = Embedded::open(&settings.data_dir, D::FACETS)?;
    tracing::info!("keeping everything in {}", settings.data_dir.display());
    Ok(World::in_process(&store))
}

/// Starts all four services: the API at once, the stages behind it as soon as their
/// stores are there.
///
/// # Errors
/// When the HTTP address cannot be had, or the store has another domain's log.
pub async fn serve<D: Domain>(
    world: World,
    menu: Menu,
    settings: &Settings,
    stages: &mut Stages,
    shutdown: &Shutdown,
) -> Result<()> {
    let feed = Feed::new(world.reader.clone(), settings.for_feed());
    let doors = Doors {
        scheduler: world.scheduler,
        presentation: world.reader,
        log: world.log.clone(),
        progress: world.source.clone(),
        feed: feed.clone(),
        menu,
    };
    let server = edge::http(settings, doors, world.probes, shutdown)?;
    let writer = WriterDoors {
        queue: world.queue,
        log: world.log.clone(),
        notices: world.notices.clone(),
    };
    let manager = ManagerDoors {
        log: world.log.clone(),
        source: world.source.clone(),
        leases: world.source_leases,
        notices: world.notices.clone(),
    };
    let baker = BakerDoors {
        log: world.log.clone(),
        source: world.source,
        presentation: world.presentation,
        leases: world.presentation_leases,
        notices: world.notices.clone(),
    };
    let (s, end) = (settings, || shutdown.clone());
    // Accepting and reading need not wait for all that the stages need.
    stages.run(feed.run(world.notices, end()));
    stages.try_run(server.run(end()));
    if world.prepared.await && is_ours::<D>(world.log.as_ref(), shutdown).await? {
        stages.run(writer::run(writer, s.for_writer(), end()));
        stages.run(manager::run::<D>(manager, s.for_manager(), end()));
        stages.run(baker::run::<D>(baker, s.for_baker(), end()));
    }
    Ok(())
}

/// Whether the log may be worked on. `false`: there was a shutdown before it was known.
///
/// # Errors
/// When the log is another domain's, which would take ours for its own.
async fn is_ours<D: Domain>(log: &dyn EventLog, shutdown: &Shutdown) -> Result<bool> {
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        match log.read(0, 1).await {
            Ok(events) => {
                let first = events.first();
                let other = first.map(|event| event.operation.service_name.as_str());
                match other.filter(|name| *name != D::NAME) {
                    Some(other) => bail!(
                        "this store has the log of another domain, {other:?}: \
                         give {:?} a store of its own",
                        D::NAME
                    ),
                    None => return Ok(true),
                }
            }
            Err(error) => {
                tracing::warn!("waiting for the log: {error}");
                backoff.wait(shutdown).await;
            }
        }
    }
    Ok(false)
}
