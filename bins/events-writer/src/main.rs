//! events-writer: the schedule queue into the log.

use std::process::ExitCode;

use anyhow::Result;
use bakehouse_engine::Shutdown;
use bakehouse_engine::stages::writer::{self, WriterDeps};
use bakehouse_host::{Service, Settings, Stages};
use bakehouse_host::{http_server, servers};
use bakehouse_orders::Orders;

fn main() -> ExitCode {
    let service = Service {
        name: "events-writer",
        about: "Stores accepted operations in the log, each once, in one order",
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
    // Kept to the end: policies are checked and told in the log also where nobody asks for readiness.
    let policies = broker.policy_probe();
    let probes = vec![broker.probe(), source.probe(), policies.clone()];
    http_server::health(&settings, probes, &mut stages, &shutdown)?;
    if source.prepare(&shutdown).await {
        let deps = WriterDeps {
            queue: broker.consumer(),
            log: source.log(),
            notices: broker.notices(),
        };
        stages.run(writer::run(deps, settings.for_writer(), shutdown));
    }
    stages.ended().await
}
