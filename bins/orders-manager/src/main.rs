//! orders-manager: the log into the source orders.

use std::process::ExitCode;

use anyhow::Result;
use bakehouse_engine::Shutdown;
use bakehouse_engine::stages::manager::{self, ManagerDeps};
use bakehouse_host::{Service, Settings, Stages};
use bakehouse_host::{http_server, servers};
use bakehouse_orders::Orders;

fn main() -> ExitCode {
    let service = Service {
        name: "orders-manager",
        about: "Executes the log's events in creation order, each once",
        health: http_server::health_address,
        domain: None,
        operate: None,
    };
    bakehouse_host::start(service, run)
}

async fn run(settings: Settings, shutdown: Shutdown) -> Result<()> {
    let source = servers::source::<Orders>(&settings).await?;
    let broker = servers::broker::<Orders>(&settings)?;
    let mut stages = Stages::new(&shutdown);
    let probes = vec![broker.probe(), source.probe()];
    http_server::health(&settings, probes, &mut stages, &shutdown)?;
    if source.prepare(&shutdown).await {
        let deps = ManagerDeps {
            log: source.log(),
            source: source.source(),
            leases: source.leases(),
            notices: broker.notices(),
            rebuilds: Some(source.source_rebuilds()),
        };
        stages.run(manager::run::<Orders>(
            deps,
            settings.for_manager(),
            shutdown,
        ));
    }
    stages.ended().await
}
