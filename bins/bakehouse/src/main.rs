//! bakehouse: all four services in one process, on an embedded store.

mod notifications;

use std::process::ExitCode;

use anyhow::Result;
use bakehouse_engine::Shutdown;
use bakehouse_engine::feed::Feed;
use bakehouse_host::{Adapters, Handlers, Own, embedded, http_server, operate_with, serve, watch};
use bakehouse_host::{Service, Settings, Stages, Task};
use bakehouse_orders::Orders;
use futures_util::future::LocalBoxFuture;

fn main() -> ExitCode {
    let service = Service {
        name: "bakehouse",
        about: "An order backend in one process: nothing to install, nothing lost",
        health: http_server::http_address,
        domain: None,
        operate: Some(&operate),
    };
    bakehouse_host::start(service, run)
}

fn operate(settings: Settings, task: Task) -> LocalBoxFuture<'static, Result<bool>> {
    let own = Own {
        blobs: bakehouse_orders_app::blobs_to_read,
        has_processes: false,
        read_models: Vec::new(),
    };
    operate_with::<Orders>(settings, task, own)
}

async fn run(settings: Settings, shutdown: Shutdown) -> Result<()> {
    let store = embedded::<Orders>(&settings)?;
    let mut adapters = Adapters::in_process(&store);
    let mut stages = Stages::new(&shutdown);
    watch(&store, &settings, &mut stages, &shutdown);
    if settings.notifies() {
        notifications::run(&store, &adapters, &settings, &mut stages, &shutdown).await?;
    }
    let api = bakehouse_orders_app::api(&settings, store.log())?;
    adapters.probes.push(api.probe.clone());
    let feed = Feed::new(adapters.reader.clone(), store.log(), settings.for_feed());
    adapters.feed = Some(feed.clone());
    let api = api.clean_up(feed, adapters.reader.clone(), &mut stages, &shutdown);
    let none = Handlers::default();
    serve::<Orders>(adapters, api, none, &settings, &mut stages, &shutdown).await?;
    stages.ended().await
}
