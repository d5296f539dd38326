//! bakehouse: all four services in one process, on an embedded store.

mod stages;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use bakehouse_embedded::Embedded;
use bakehouse_http::Doors;
use bakehouse_memory::InProcessNotices;
use bakehouse_orders::Orders;
use bakehouse_pipeline::feed::Feed;
use bakehouse_pipeline::ports::Notices;
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
    let mut stages = Stages::new(&shutdown);
    if settings.notifies() {
        stages::notifications(&store, &notices, &settings, &mut stages, &shutdown).await?;
    }
    let blobs = bakehouse_wiring::blobs(&settings)?;
    bakehouse_wiring::sweep(
        &settings,
        blobs.clone(),
        store.log(),
        &mut stages,
        &shutdown,
    );
    let server = {
        let doors = Doors {
            scheduler: store.scheduler(),
            presentation: store.reader(),
            log: store.log(),
            progress: store.source(),
            notifications: store.notifications(),
            blobs: blobs.clone(),
            feed: feed.clone(),
        };
        bakehouse_wiring::http(&settings, doors, vec![store.probe()], &shutdown)?
    };
    stages::pipeline(&store, &notices, &settings, &mut stages, &shutdown);
    stages.run(feed.run(notices, shutdown.clone()));
    stages.try_run(server.run(shutdown));
    stages.ended().await
}
