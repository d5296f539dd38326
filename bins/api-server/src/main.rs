//! api-server: takes orders, reads the presentation, feeds websockets.

use std::process::ExitCode;

use anyhow::Result;
use bakehouse_engine::feed::Feed;
use bakehouse_engine::{Domain, Shutdown};
use bakehouse_host::readiness::{Watched, readiness};
use bakehouse_host::{Own, http_server, operate_with, servers};
use bakehouse_host::{Service, Settings, Stages, Task};
use bakehouse_http::{AppState, RebuildTargets};
use bakehouse_orders::Orders;
use futures_util::future::LocalBoxFuture;

fn main() -> ExitCode {
    let service = Service {
        name: "api-server",
        about: "Takes orders over HTTP, answers from the presentation, and feeds websockets",
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
    let source = servers::source::<Orders>(&settings).await?;
    let presentation = servers::presentation::<Orders>(&settings).await?;
    let broker = servers::broker::<Orders>(&settings)?;
    let feed = Feed::new(presentation.reader(), source.log(), settings.for_feed());
    let mut stages = Stages::new(&shutdown);
    let api = bakehouse_orders_app::api(&settings, source.log())?;
    let blob_probe = api.probe.clone();
    let api = api.clean_up(feed.clone(), presentation.reader(), &mut stages, &shutdown);
    let deps = AppState {
        scheduler: broker.scheduler(),
        presentation: presentation.reader(),
        log: source.log(),
        progress: source.source(),
        read_models: presentation.row_reader(),
        rebuilds: RebuildTargets {
            source: source.source_rebuilds(),
            presentation: presentation.presentation_rebuilds(),
        },
        notifications: source.notifications(),
        feed: feed.clone(),
        limits: http_server::limits(&settings),
        api,
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
    let (probes, watch) = readiness(&deps, stores, watched, shutdown.clone());
    stages.run(watch);
    let server = http_server::http(&settings, deps, probes, &shutdown)?;
    stages.run(feed.run(broker.notices(), shutdown.clone()));
    stages.try_run(server.run(shutdown));
    stages.ended().await
}
