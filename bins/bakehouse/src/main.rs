//! bakehouse: all four services in one process, on an embedded store.

mod notifications;

use std::process::ExitCode;

use anyhow::Result;
use bakehouse_kitchen::{Handlers, World, edge, embedded, operate, serve};
use bakehouse_orders::Orders;
use bakehouse_orders_http::OrderDoors;
use bakehouse_pipeline::Shutdown;
use bakehouse_service::{Service, Settings, Stages};

fn main() -> ExitCode {
    let service = Service {
        name: "bakehouse",
        about: "An order backend in one process: nothing to install, nothing lost",
        health: edge::http_address,
        domain: None,
        operate: Some(operate::<Orders>),
    };
    bakehouse_service::main(service, run)
}

async fn run(settings: Settings, shutdown: Shutdown) -> Result<()> {
    let store = embedded::<Orders>(&settings)?;
    let world = World::in_process(&store);
    let mut stages = Stages::new(&shutdown);
    if settings.notifies() {
        notifications::run(&store, &world, &settings, &mut stages, &shutdown).await?;
    }
    let blobs = bakehouse_wiring::blobs(&settings)?;
    let own = OrderDoors {
        blobs: blobs.clone(),
    };
    bakehouse_wiring::sweep(&settings, blobs, store.log(), &mut stages, &shutdown);
    let menu = bakehouse_wiring::menu(&settings, own);
    let none = Handlers::default();
    serve::<Orders>(world, menu, none, &settings, &mut stages, &shutdown).await?;
    stages.ended().await
}
