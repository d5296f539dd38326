//! data-baker: source orders into presentation documents.

use std::process::ExitCode;

use anyhow::Result;
use bakehouse_engine::Shutdown;
use bakehouse_engine::stages::baker::{self, BakerDeps};
use bakehouse_host::{Service, Settings, Stages};
use bakehouse_host::{http_server, servers};
use bakehouse_orders::Orders;

fn main() -> ExitCode {
    let service = Service {
        name: "data-baker",
        about: "Turns changed orders into documents that are ready to read",
        health: http_server::health_address,
        domain: None,
        operate: None,
    };
    bakehouse_host::start(service, run)
}

async fn run(settings: Settings, shutdown: Shutdown) -> Result<()> {
    let source = servers::source::<Orders>(&settings).await?;
    let presentation = servers::presentation::<Orders>(&settings).await?;
    let broker = servers::broker::<Orders>(&settings)?;
    let mut stages = Stages::new(&shutdown);
    let probes = vec![broker.probe(), source.probe(), presentation.probe()];
    http_server::health(&settings, probes, &mut stages, &shutdown)?;
    if source.prepare(&shutdown).await && presentation.prepare(&shutdown).await {
        let deps = BakerDeps {
            log: source.log(),
            source: source.source(),
            presentation: presentation.presentation(),
            leases: presentation.leases(),
            notices: broker.notices(),
            rebuilds: Some(presentation.presentation_rebuilds()),
        };
        stages.run(baker::run::<Orders>(deps, settings.for_baker(), shutdown));
    }
    stages.ended().await
}
