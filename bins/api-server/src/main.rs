//! api-server: takes orders, reads the presentation, feeds websockets.

use std::process::ExitCode;

use anyhow::Result;
use bakehouse_http::Doors;
use bakehouse_pipeline::Shutdown;
use bakehouse_pipeline::feed::Feed;
use bakehouse_service::{Service, Settings, Stages};

fn main() -> ExitCode {
    let service = Service {
        name: "api-server",
        about: "Takes orders over HTTP, answers from the presentation, and feeds websockets",
        health: bakehouse_wiring::http_address,
    };
    bakehouse_service::main(service, run)
}

async fn run(settings: Settings, shutdown: Shutdown) -> Result<()> {
    let source = bakehouse_wiring::source(&settings).await?;
    let presentation = bakehouse_wiring::presentation(&settings).await?;
    let broker = bakehouse_wiring::broker(&settings)?;
    let feed = Feed::new(presentation.reader(), settings.for_feed());
    let blobs = bakehouse_wiring::blobs(&settings)?;
    let doors = Doors {
        scheduler: broker.scheduler(),
        presentation: presentation.reader(),
        log: source.log(),
        progress: source.source(),
        notifications: source.notifications(),
        blobs: blobs.clone(),
        feed: feed.clone(),
    };
    let probes = vec![broker.probe(), presentation.probe()];
    let server = bakehouse_wiring::http(&settings, doors, probes, &shutdown)?;
    let mut stages = Stages::new(&shutdown);
    bakehouse_wiring::sweep(&settings, blobs, source.log(), &mut stages, &shutdown);
    stages.run(feed.run(broker.notices(), shutdown.clone()));
    stages.try_run(server.run(shutdown));
    stages.ended().await
}
