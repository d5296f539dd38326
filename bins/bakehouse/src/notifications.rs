//! Notifications, on the embedded store.

use anyhow::Result;
use bakehouse_engine::Shutdown;
use bakehouse_engine::notifier::{self, NotifierDoors};
use bakehouse_host::World;
use bakehouse_host::{Settings, Stages};
use bakehouse_sqlite::Embedded;

/// What customers and other programs are told. Set up before the first order
/// can come, so that none is missed.
pub(crate) async fn run(
    store: &Embedded,
    world: &World,
    settings: &Settings,
    stages: &mut Stages,
    shutdown: &Shutdown,
) -> Result<()> {
    let ways = bakehouse_orders_app::ways(settings)?;
    let doors = NotifierDoors {
        log: store.log(),
        source: store.source(),
        presentation: store.reader(),
        notifications: store.notifications(),
        leases: store.leases(),
        notices: world.notices.clone(),
    };
    if notifier::prepare(&doors, shutdown).await {
        bakehouse_orders_app::notify(settings, ways, doors, stages, shutdown);
    }
    Ok(())
}
