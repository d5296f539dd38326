//! api-server: takes orders, reads the presentation, feeds websockets.

use std::process::ExitCode;

use anyhow::Result;
use bakehouse_http::{Doors, Remade};
use bakehouse_kitchen::readiness::{Watched, readiness};
use bakehouse_kitchen::{Own, edge, operate_with, servers};
use bakehouse_orders::Orders;
use bakehouse_pipeline::feed::Feed;
use bakehouse_pipeline::{Domain, Shutdown};
use bakehouse_service::{Service, Settings, Stages, Task};
use futures_util::future::LocalBoxFuture;

fn main() -> ExitCode {
    let service = Service {
        name: "api-server",
        about: "Takes orders over HTTP, answers from the presentation, and feeds websockets",
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
    let source = servers::source::<Orders>(&settings).await?;
    let presentation = servers::presentation::<Orders>(&settings).await?;
    let broker = servers::broker::<Orders>(&settings)?;
    let feed = Feed::new(presentation.reader(), source.log(), settings.for_feed());
    let mut stages = Stages::new(&shutdown);
    let api = bakehouse_wiring::api(&settings, source.log())?;
    let blob_probe = api.probe.clone();
    let menu = api.clean_up(feed.clone(), presentation.reader(), &mut stages, &shutdown);
    let doors = Doors {
        scheduler: broker.scheduler(),
        presentation: presentation.reader(),
        log: source.log(),
        progress: source.source(),
        read_models: presentation.row_reader(),
        rebuilds: Remade {
            source: source.source_generations(),
            presentation: presentation.presentation_generations(),
        },
        notifications: source.notifications(),
        feed: feed.clone(),
        limits: edge::limits(&settings),
        menu,
    };
    let stores = vec![
        broker.probe(),
        source.probe(),
        presentation.probe(),
        blob_probe,
    ];
    let watched = Watched {
        domain: Orders::NAME,
        backlog: broker.backlog(),
        policies: Some(broker.policy_probe()),
        notifier: settings.notifies().then(|| source.inspector()),
        read_models: Vec::new(),
        stall_timeout: settings.health.stall_timeout,
    };
    let (probes, watch) = readiness(&doors, stores, watched, shutdown.clone());
    stages.run(watch);
    let server = edge::http(&settings, doors, probes, &shutdown)?;
    stages.run(feed.run(broker.notices(), shutdown.clone()));
    stages.try_run(server.run(shutdown));
    stages.ended().await
}
