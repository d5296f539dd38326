//! Notifications, on the embedded store.

use anyhow::Result;
use bakehouse_embedded::Embedded;
use bakehouse_kitchen::World;
use bakehouse_pipeline::Shutdown;
use bakehouse_pipeline::notifier::{self, NotifierDoors};
use bakehouse_service::{Settings, Stages};

/// What customers and other programs are told. Set up before the first order
/// can come, so that none is missed.
pub(crate) async fn run(
    store: &Embedded,
    world: &World,
    settings: &Settings,
    stages: &mut Stages,
    shutdown: &Shutdown,
) -> Result<()> {
    let ways = bakehouse_wiring::ways(settings)?;
    let doors = NotifierDoors {
        log: store.log(),
        source: store.source(),
        presentation: store.reader(),
        notifications: store.notifications(),
        leases: store.leases(),
        notices: world.notices.clone(),
    };
    if notifier::prepare(&doors, shutdown).await {
        bakehouse_wiring::notify(settings, ways, doors, stages, shutdown);
    }
    Ok(())
}
