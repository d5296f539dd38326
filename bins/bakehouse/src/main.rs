//! bakehouse: all four services in one process, on an embedded store.

mod notifications;

use std::process::ExitCode;

use anyhow::Result;
use bakehouse_kitchen::{Handlers, Own, World, edge, embedded, operate_with, serve, watch};
use bakehouse_orders::Orders;
use bakehouse_orders_http::OrderDoors;
use bakehouse_pipeline::Shutdown;
use bakehouse_service::{Service, Settings, Stages, Task};
use futures_util::future::LocalBoxFuture;

fn main() -> ExitCode {
    let service = Service {
        name: "bakehouse",
        about: "An order backend in one process: nothing to install, nothing lost",
        health: edge::http_address,
        domain: None,
        operate: Some(operate),
    };
    bakehouse_service::main(service, run)
}

fn operate(settings: Settings, task: Task) -> LocalBoxFuture<'static, Result<bool>> {
    let own = Own {
        blobs: bakehouse_wiring::blobs_to_read,
        has_processes: false,
    };
    operate_with::<Orders>(settings, task, own)
}

async fn run(settings: Settings, shutdown: Shutdown) -> Result<()> {
    let store = embedded::<Orders>(&settings)?;
    let mut world = World::in_process(&store);
    let mut stages = Stages::new(&shutdown);
    watch(&store, &settings, &mut stages, &shutdown);
    if settings.notifies() {
        notifications::run(&store, &world, &settings, &mut stages, &shutdown).await?;
    }
    let blobs = bakehouse_wiring::blobs(&settings)?;
    let probe = bakehouse_wiring::blob_probe(&settings, blobs.clone());
    world.probes.push(probe);
    let own = OrderDoors {
        blobs: blobs.clone(),
    };
    bakehouse_wiring::sweep(&settings, blobs, store.log(), &mut stages, &shutdown);
    let menu = bakehouse_wiring::menu(&settings, own);
    let none = Handlers::default();
    serve::<Orders>(world, menu, none, &settings, &mut stages, &shutdown).await?;
    stages.ended().await
}
