//! Notifications, on the embedded store.

use anyhow::Result;
use bakehouse_engine::Shutdown;
use bakehouse_engine::stages::notifier::{self, NotifierDeps};
use bakehouse_host::Adapters;
use bakehouse_host::{Settings, Stages};
use bakehouse_sqlite::SqliteStore;

/// What customers and other programs are told. Set up before the first order
/// can come, so that none is missed.
pub(crate) async fn run(
    store: &SqliteStore,
    adapters: &Adapters,
    settings: &Settings,
    stages: &mut Stages,
    shutdown: &Shutdown,
) -> Result<()> {
    let channels = bakehouse_orders_app::channels(settings)?;
    let deps = NotifierDeps {
        log: store.log(),
        source: store.source(),
        presentation: store.reader(),
        notifications: store.notifications(),
        leases: store.leases(),
        notices: adapters.notices.clone(),
    };
    if notifier::prepare(&deps, shutdown).await {
        bakehouse_orders_app::notify(settings, channels, deps, stages, shutdown);
    }
    Ok(())
}
