//! All four services in one process.

use std::process::ExitCode;

use anyhow::Result;
use bakehouse_embedded::Embedded;
use bakehouse_http::{Doors, Menu};
use bakehouse_pipeline::baker::{self, BakerDoors};
use bakehouse_pipeline::feed::Feed;
use bakehouse_pipeline::manager::{self, ManagerDoors};
use bakehouse_pipeline::writer::{self, WriterDoors};
use bakehouse_pipeline::{Domain, Shutdown};
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
    };
    bakehouse_service::main(service, async |settings, shutdown| {
        let mut stages = Stages::new(&shutdown);
        if let Some(world) = open::<D>(&settings, &shutdown).await? {
            serve::<D>(world, menu, &settings, &mut stages, &shutdown)?;
        }
        stages.ended().await
    })
}

/// The world that the settings name; `None`: there was a shutdown before it was there.
async fn open<D: Domain>(settings: &Settings, shutdown: &Shutdown) -> Result<Option<World>> {
    #[cfg(feature = "servers")]
    if settings.has_servers() {
        return crate::servers::open::<D>(settings, shutdown).await;
    }
    let _ = shutdown;
    let store = Embedded::open(&settings.data_dir, D::FACETS)?;
    tracing::info!("keeping everything in {}", settings.data_dir.display());
    Ok(Some(World::in_process(&store)))
}

/// Runs all four services.
///
/// # Errors
/// When the HTTP address cannot be had.
pub fn serve<D: Domain>(
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
        log: world.log,
        source: world.source,
        presentation: world.presentation,
        leases: world.presentation_leases,
        notices: world.notices.clone(),
    };
    let (s, end) = (settings, || shutdown.clone());
    stages.run(writer::run(writer, s.for_writer(), end()));
    stages.run(manager::run::<D>(manager, s.for_manager(), end()));
    stages.run(baker::run::<D>(baker, s.for_baker(), end()));
    stages.run(feed.run(world.notices, end()));
    stages.try_run(server.run(end()));
    Ok(())
}
