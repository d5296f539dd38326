//! bakehouse: all four services in one process, on an embedded store.

mod notifications;

use std::process::ExitCode;

use anyhow::Result;
use bakehouse_embedded::Embedded;
use bakehouse_kitchen::{World, edge, serve};
use bakehouse_orders::Orders;
use bakehouse_orders_http::OrderDoors;
use bakehouse_pipeline::{Domain, Shutdown};
use bakehouse_service::{Service, Settings, Stages};

fn main() -> ExitCode {
    let service = Service {
        name: "bakehouse",
        about: "An order backend in one process: nothing to install, nothing lost",
        health: edge::http_address,
        domain: None,
    };
    bakehouse_service::main(service, run)
}

async fn run(settings: Settings, shutdown: Shutdown) -> Result<()> {
    let store = Embedded::open(&settings.data_dir, Orders::FACETS)?;
    tracing::info!("keeping everything in {}", settings.data_dir.display());
    let world = World::in_process(&store);
    let mut stages = Stages::new(&shutdown);
    if settings.notifies() {
        notifications::run(&store, &world, &settings, &mut stages, &shutdown).await?;
    }
    let blobs = bakehouse_wiring::blobs(&settings)?;
    let own = OrderDoors {
        notifications: store.notifications(),
        blobs: blobs.clone(),
    };
    bakehouse_wiring::sweep(&settings, blobs, store.log(), &mut stages, &shutdown);
    let menu = bakehouse_wiring::menu(&settings, own);
    serve::<Orders>(world, menu, &settings, &mut stages, &shutdown).await?;
    stages.ended().await
}
