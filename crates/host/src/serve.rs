//! All four services in one process, and what follows them.

use crate::settings::Mode;
use crate::{Settings, Stages};
use anyhow::{Result, bail};
use bakehouse_engine::backoff::Backoff;
use bakehouse_engine::baker::{self, BakerDoors};
use bakehouse_engine::feed::Feed;
use bakehouse_engine::manager::{self, ManagerDoors};
use bakehouse_engine::ports::{EventLog, StoreError};
use bakehouse_engine::synchronous::{Synchronous, SynchronousDoors};
use bakehouse_engine::writer::{self, WriterDoors};
use bakehouse_engine::{Domain, Shutdown};
use bakehouse_http::{Doors, Menu, Remade};

use crate::handler_runners::Following;
use crate::readiness::{Watched, readiness};
use crate::{Handlers, World, http_server};

/// Starts all four services: the API at once, the stages behind it as soon as their
/// stores are there; and what follows them.
///
/// # Errors
/// When the HTTP address cannot be had, the store has another domain's log, or a
/// handler cannot work as it is.
pub async fn serve<D: Domain>(
    mut world: World,
    menu: Menu,
    handlers: Handlers,
    settings: &Settings,
    stages: &mut Stages,
    shutdown: &Shutdown,
) -> Result<()> {
    let has_processes = !handlers.processes.is_empty();
    let mut following = Following::of::<D>(&world, settings)?;
    handlers.check(&following.doors().feeds)?;
    let mut synchronous = None;
    if settings.mode != Mode::Asynchronous {
        let at_once = at_once_in::<D>(&world, &handlers, &following)?;
        let (kitchen, entrance) = Synchronous::<D>::new(at_once);
        world.scheduler = entrance;
        following.hand_in_to(&world.scheduler);
        synchronous = Some(kitchen);
    }
    let feed = world.feed.take();
    let new = || Feed::new(world.reader.clone(), world.log.clone(), settings.for_feed());
    let feed = feed.unwrap_or_else(new);
    let doors = Doors {
        scheduler: world.scheduler.clone(),
        presentation: world.reader.clone(),
        log: world.log.clone(),
        progress: world.source.clone(),
        read_models: world.row_reader.clone(),
        rebuilds: Remade {
            source: world.source_generations.clone(),
            presentation: world.presentation_generations.clone(),
        },
        notifications: world.notifications.clone(),
        feed: feed.clone(),
        limits: http_server::limits(settings),
        menu,
    };
    let of_own_feed = handlers.clone().of_own_feed(D::NAME);
    let read_models = of_own_feed.read_models.iter();
    let watched = Watched {
        domain: D::NAME,
        backlog: world.backlog.clone(),
        policies: world.policies.clone(),
        notifier: settings.notifies().then(|| world.source_inspector.clone()),
        read_models: read_models.map(|model| model.name()).collect(),
        stall_timeout: settings.health.stall_timeout,
    };
    let (probes, watch) = readiness(&doors, world.probes.clone(), watched, shutdown.clone());
    stages.run(watch);
    let server = http_server::http(settings, doors, probes, shutdown)?;
    stages.try_run(store_failure(&mut world, shutdown.clone()));
    // Accepting and reading need not wait for all that the stages need.
    stages.run(feed.run(world.notices.clone(), shutdown.clone()));
    stages.try_run(server.run(shutdown.clone()));
    let prepared = std::mem::replace(&mut world.prepared, Box::pin(std::future::ready(true)));
    if !(prepared.await && is_ours::<D>(world.log.as_ref(), shutdown).await?) {
        return Ok(());
    }
    if has_processes {
        following.deliver(settings, stages, shutdown);
    }
    // In every mode: what is not up to date, or made anew, is followed beside the rest.
    following.start(handlers, settings, stages, shutdown).await;
    match synchronous {
        Some(kitchen) => stages.run(kitchen.run(world.queue, shutdown.clone())),
        None => run_stages::<D>(world, settings, stages, shutdown),
    }
    Ok(())
}

/// Ends with an error when the stores cannot go on in this process.
fn store_failure(
    world: &mut World,
    shutdown: Shutdown,
) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
    let failure = std::mem::replace(&mut world.failure, Box::pin(std::future::pending()));
    async move {
        tokio::select! {
            error = failure => Err(error),
            () = shutdown.cancelled() => Ok(()),
        }
    }
}

/// What everything at once needs.
fn at_once_in<D: Domain>(
    world: &World,
    handlers: &Handlers,
    following: &Following,
) -> Result<SynchronousDoors> {
    let Some(units) = world.units.clone() else {
        bail!("mode: these stores know no transaction over all of them");
    };
    let own = handlers.clone().of_own_feed(D::NAME);
    Ok(SynchronousDoors {
        units,
        log: world.log.clone(),
        source: world.source.clone(),
        presentation: world.presentation.clone(),
        follow: following.doors().clone(),
        source_generations: world.source_generations.clone(),
        presentation_generations: world.presentation_generations.clone(),
        leases: world.source_leases.clone(),
        notices: world.notices.clone(),
        read_models: own.read_models,
        processes: own.processes,
    })
}

fn run_stages<D: Domain>(
    world: World,
    settings: &Settings,
    stages: &mut Stages,
    shutdown: &Shutdown,
) {
    let writer = WriterDoors {
        queue: world.queue,
        log: world.log.clone(),
        notices: world.notices.clone(),
    };
    let manager = ManagerDoors {
        log: world.log.clone(),
        source: world.source.clone(),
        leases: world.source_leases,
        notices: world.notices.clone(),
        generations: Some(world.source_generations),
    };
    let baker = BakerDoors {
        log: world.log,
        source: world.source,
        presentation: world.presentation,
        leases: world.presentation_leases,
        notices: world.notices,
        generations: Some(world.presentation_generations),
    };
    let (s, end) = (settings, || shutdown.clone());
    stages.run(writer::run(writer, s.for_writer(), end()));
    stages.run(manager::run::<D>(manager, s.for_manager(), end()));
    stages.run(baker::run::<D>(baker, s.for_baker(), end()));
}

/// Whether the log may be worked on. `false`: there was a shutdown before it was known.
///
/// # Errors
/// When the log is another domain's, which would take ours for its own.
async fn is_ours<D: Domain>(log: &dyn EventLog, shutdown: &Shutdown) -> Result<bool> {
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        match log.read(0, 1).await {
            Ok(events) => {
                let first = events.first();
                let other = first.map(|event| event.operation.service_name.as_str());
                match other.filter(|name| *name != D::NAME) {
                    Some(other) => bail!(
                        "this store has the log of another domain, {other:?}: \
                         give {:?} a store of its own",
                        D::NAME
                    ),
                    None => return Ok(true),
                }
            }
            Err(error) => {
                tracing::warn!("waiting for the log: {error}");
                backoff.wait(shutdown).await;
            }
        }
    }
    Ok(false)
}
