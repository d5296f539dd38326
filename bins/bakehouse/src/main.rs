//! bakehouse: all four services in one process, on an embedded store.

mod notifications;

use std::process::ExitCode;

use anyhow::Result;
use bakehouse_kitchen::{Handlers, Own, World, edge, embedded, operate_with, serve, watch};
use bakehouse_orders::Orders;
use bakehouse_pipeline::Shutdown;
use bakehouse_pipeline::feed::Feed;
use bakehouse_service::{Service, Settings, Stages, Task};
use futures_util::future::LocalBoxFuture;

fn main() -> ExitCode {
    let service = Service {
        name: "bakehouse",
        about: "An order backend in one process: nothing to install, nothing lost",
        health: edge::http_address,
        domain: None,
        operate: Some(&operate),
    };
    bakehouse_service::main(service, run)
}

fn operate(settings: Settings, task: Task) -> LocalBoxFuture<'static, Result<bool>> {
    let own = Own {
        blobs: bakehouse_wiring::blobs_to_read,
        has_processes: false,
        read_models: Vec::new(),
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
    let api = bakehouse_wiring::api(&settings, store.log())?;
    world.probes.push(api.probe.clone());
    let feed = Feed::new(world.reader.clone(), store.log(), settings.for_feed());
    world.feed = Some(feed.clone());
    let menu = api.clean_up(feed, world.reader.clone(), &mut stages, &shutdown);
    let none = Handlers::default();
    serve::<Orders>(world, menu, none, &settings, &mut stages, &shutdown).await?;
    stages.ended().await
}
