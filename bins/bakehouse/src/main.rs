//! bakehouse: all four services in one process, on an embedded store.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use bakehouse_embedded::Embedded;
use bakehouse_http::Doors;
use bakehouse_memory::InProcessNotices;
use bakehouse_orders::Orders;
use bakehouse_pipeline::baker::{self, BakerDoors};
use bakehouse_pipeline::feed::Feed;
use bakehouse_pipeline::manager::{self, ManagerDoors};
use bakehouse_pipeline::ports::Notices;
use bakehouse_pipeline::writer::{self, WriterDoors};
use bakehouse_pipeline::{Domain, Shutdown};
use bakehouse_service::{Service, Settings, Stages};

fn main() -> ExitCode {
    let service = Service {
        name: "bakehouse",
        about: "An order backend in one process: nothing to install, nothing lost",
        health: bakehouse_wiring::http_address,
    };
    bakehouse_service::main(service, run)
}

async fn run(settings: Settings, shutdown: Shutdown) -> Result<()> {
    let store = Embedded::open(&settings.data_dir, Orders::FACETS)?;
    tracing::info!("keeping everything in {}", settings.data_dir.display());
    let notices: Arc<dyn Notices> = Arc::new(InProcessNotices::default());
    let feed = Feed::new(store.reader(), settings.for_feed());
    let server = {
        let doors = Doors {
            scheduler: store.scheduler(),
            presentation: store.reader(),
            log: store.log(),
            blobs: bakehouse_wiring::blobs(&settings)?,
            feed: feed.clone(),
        };
        bakehouse_wiring::http(&settings, doors, vec![store.probe()], &shutdown)?
    };
    let mut stages = Stages::new(&shutdown);
    pipeline(&store, &notices, &settings, &mut stages, &shutdown);
    stages.run(feed.run(notices, shutdown.clone()));
    stages.try_run(server.run(shutdown));
    stages.ended().await
}

/// The three stages behind the edge.
fn pipeline(
    store: &Embedded,
    notices: &Arc<dyn Notices>,
    settings: &Settings,
    stages: &mut Stages,
    shutdown: &Shutdown,
) {
    let writer = WriterDoors {
        queue: store.consumer(),
        log: store.log(),
        notices: notices.clone(),
    };
    stages.run(writer::run(writer, settings.for_writer(), shutdown.clone()));
    let manager = ManagerDoors {
        log: store.log(),
        source: store.source(),
        leases: store.leases(),
        notices: notices.clone(),
    };
    stages.run(manager::run::<Orders>(
        manager,
        settings.for_manager(),
        shutdown.clone(),
    ));
    let baker = BakerDoors {
        log: store.log(),
        source: store.source(),
        presentation: store.presentation(),
        leases: store.leases(),
        notices: notices.clone(),
    };
    stages.run(baker::run::<Orders>(
        baker,
        settings.for_baker(),
        shutdown.clone(),
    ));
}
