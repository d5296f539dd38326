//! The stages behind the edge, on the embedded store.

use std::sync::Arc;

use anyhow::Result;
use bakehouse_embedded::Embedded;
use bakehouse_orders::Orders;
use bakehouse_pipeline::Shutdown;
use bakehouse_pipeline::baker::{self, BakerDoors};
use bakehouse_pipeline::manager::{self, ManagerDoors};
use bakehouse_pipeline::notifier::{self, NotifierDoors};
use bakehouse_pipeline::ports::Notices;
use bakehouse_pipeline::writer::{self, WriterDoors};
use bakehouse_service::{Settings, Stages};

/// From the schedule queue to the documents.
pub(crate) fn pipeline(
    store: &Embedded,
    notices: &Arc<dyn Notices>,
    settings: &Settings,
    stages: &mut Stages,
    shutdown: &Shutdown,
) {
    let writer = WriterDoors {
        queue: store.consumer(),
        log: store.log(),
        notices: notices.clone(),
    };
    stages.run(writer::run(writer, settings.for_writer(), shutdown.clone()));
    let manager = ManagerDoors {
        log: store.log(),
        source: store.source(),
        leases: store.leases(),
        notices: notices.clone(),
    };
    stages.run(manager::run::<Orders>(
        manager,
        settings.for_manager(),
        shutdown.clone(),
    ));
    let baker = BakerDoors {
        log: store.log(),
        source: store.source(),
        presentation: store.presentation(),
        leases: store.leases(),
        notices: notices.clone(),
    };
    stages.run(baker::run::<Orders>(
        baker,
        settings.for_baker(),
        shutdown.clone(),
    ));
}

/// What customers and other programs are told. Set up before the first order
/// can come, so that none is missed.
pub(crate) async fn notifications(
    store: &Embedded,
    notices: &Arc<dyn Notices>,
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
        notices: notices.clone(),
    };
    if notifier::prepare(&doors, shutdown).await {
        bakehouse_wiring::notify(settings, ways, doors, stages, shutdown);
    }
    Ok(())
}
