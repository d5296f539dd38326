//! notifier: what became of orders, by mail, text message and webhook.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use bakehouse_engine::Shutdown;
use bakehouse_engine::stages::notifier::{NotifierDeps, prepare};
use bakehouse_host::{Service, Settings, Stages};
use bakehouse_host::{http_server, servers};
use bakehouse_orders::Orders;

fn main() -> ExitCode {
    let service = Service {
        name: "notifier",
        about: "Tells customers and other programs what became of orders",
        health: http_server::health_address,
        domain: None,
        operate: None,
    };
    bakehouse_host::start(service, run)
}

async fn run(settings: Settings, shutdown: Shutdown) -> Result<()> {
    ensure!(
        settings.notifies(),
        "there is nobody to notify: set email.uri, sms.url or webhook.urls"
    );
    let channels = bakehouse_orders_app::channels(&settings)?;
    let source = servers::source::<Orders>(&settings).await?;
    let presentation = servers::presentation::<Orders>(&settings).await?;
    let broker = servers::broker::<Orders>(&settings)?;
    let mut stages = Stages::new(&shutdown);
    let probes = vec![broker.probe(), source.probe(), presentation.probe()];
    http_server::health(&settings, probes, &mut stages, &shutdown)?;
    let deps = NotifierDeps {
        log: source.log(),
        source: source.source(),
        presentation: presentation.reader(),
        notifications: source.notifications(),
        leases: source.leases(),
        notices: broker.notices(),
    };
    if source.prepare(&shutdown).await && prepare(&deps, &shutdown).await {
        bakehouse_orders_app::notify(&settings, channels, deps, &mut stages, &shutdown);
    }
    stages.ended().await
}
