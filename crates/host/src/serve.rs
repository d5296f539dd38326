//! All four services in one process, and what follows them.

use crate::settings::Mode;
use crate::{Settings, Stages};
use anyhow::{Result, bail};
use bakehouse_engine::backoff::Backoff;
use bakehouse_engine::feed::Feed;
use bakehouse_engine::ports::{EventLog, StoreError};
use bakehouse_engine::single_transaction::{SingleTransactionDeps, SingleTransactionEngine};
use bakehouse_engine::stages::baker::{self, BakerDeps};
use bakehouse_engine::stages::manager::{self, ManagerDeps};
use bakehouse_engine::stages::writer::{self, WriterDeps};
use bakehouse_engine::{Domain, Shutdown};
use bakehouse_http::{ApiDefinition, AppState, RebuildTargets};

use crate::handler_runners::HandlerRunners;
use crate::readiness::{Watched, readiness};
use crate::{Adapters, Handlers, http_server};

/// Starts all four services: the API at once, the stages behind it as soon as their
/// stores are there; and what follows them.
///
/// # Errors
/// When the HTTP address cannot be had, the store has another domain's log, or a
/// handler cannot work as it is.
pub async fn serve<D: Domain>(
    mut adapters: Adapters,
    api: ApiDefinition,
    handlers: Handlers,
    settings: &Settings,
    stages: &mut Stages,
    shutdown: &Shutdown,
) -> Result<()> {
    let has_processes = !handlers.processes.is_empty();
    let mut following = HandlerRunners::of::<D>(&adapters, settings)?;
    handlers.check(&following.deps().feeds)?;
    let mut synchronous = None;
    if settings.mode != Mode::Asynchronous {
        let at_once = at_once_in::<D>(&adapters, &handlers, &following)?;
        let (engine, queue) = SingleTransactionEngine::<D>::new(at_once);
        adapters.scheduler = queue;
        following.hand_in_to(&adapters.scheduler);
        synchronous = Some(engine);
    }
    let feed = adapters.feed.take();
    let new = || {
        Feed::new(
            adapters.reader.clone(),
            adapters.log.clone(),
            settings.for_feed(),
        )
    };
    let feed = feed.unwrap_or_else(new);
    let deps = AppState {
        scheduler: adapters.scheduler.clone(),
        presentation: adapters.reader.clone(),
        log: adapters.log.clone(),
        progress: adapters.source.clone(),
        read_models: adapters.row_reader.clone(),
        rebuilds: RebuildTargets {
            source: adapters.source_rebuilds.clone(),
            presentation: adapters.presentation_rebuilds.clone(),
        },
        notifications: adapters.notifications.clone(),
        feed: feed.clone(),
        limits: http_server::limits(settings),
        api,
    };
    let of_own_feed = handlers.clone().of_own_feed(D::NAME);
    let read_models = of_own_feed.read_models.iter();
    let watched = Watched {
        domain: D::NAME,
        backlog: adapters.backlog.clone(),
        policies: adapters.policies.clone(),
        notifier: settings
            .notifies()
            .then(|| adapters.source_inspector.clone()),
        read_models: read_models.map(|model| model.name()).collect(),
        stall_timeout: settings.health.stall_timeout,
    };
    let (probes, watch) = readiness(&deps, adapters.probes.clone(), watched, shutdown.clone());
    stages.run(watch);
    let server = http_server::http(settings, deps, probes, shutdown)?;
    stages.try_run(store_failure(&mut adapters, shutdown.clone()));
    // Accepting and reading need not wait for all that the stages need.
    stages.run(feed.run(adapters.notices.clone(), shutdown.clone()));
    stages.try_run(server.run(shutdown.clone()));
    let prepared = std::mem::replace(&mut adapters.prepared, Box::pin(std::future::ready(true)));
    if !(prepared.await && is_ours::<D>(adapters.log.as_ref(), shutdown).await?) {
        return Ok(());
    }
    if has_processes {
        following.deliver(settings, stages, shutdown);
    }
    // In every mode: what is not up to date, or made anew, is followed beside the rest.
    following.start(handlers, settings, stages, shutdown).await;
    match synchronous {
        Some(engine) => stages.run(engine.run(adapters.queue, shutdown.clone())),
        None => run_stages::<D>(adapters, settings, stages, shutdown),
    }
    Ok(())
}

/// Ends with an error when the stores cannot go on in this process.
fn store_failure(
    adapters: &mut Adapters,
    shutdown: Shutdown,
) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
    let failure = std::mem::replace(&mut adapters.failure, Box::pin(std::future::pending()));
    async move {
        tokio::select! {
            error = failure => Err(error),
            () = shutdown.cancelled() => Ok(()),
        }
    }
}

/// What everything at once needs.
fn at_once_in<D: Domain>(
    adapters: &Adapters,
    handlers: &Handlers,
    following: &HandlerRunners,
) -> Result<SingleTransactionDeps> {
    let Some(units) = adapters.units.clone() else {
        bail!("mode: these stores know no transaction over all of them");
    };
    let own = handlers.clone().of_own_feed(D::NAME);
    Ok(SingleTransactionDeps {
        units,
        log: adapters.log.clone(),
        source: adapters.source.clone(),
        presentation: adapters.presentation.clone(),
        follow: following.deps().clone(),
        source_rebuilds: adapters.source_rebuilds.clone(),
        presentation_rebuilds: adapters.presentation_rebuilds.clone(),
        leases: adapters.source_leases.clone(),
        notices: adapters.notices.clone(),
        read_models: own.read_models,
        processes: own.processes,
    })
}

fn run_stages<D: Domain>(
    adapters: Adapters,
    settings: &Settings,
    stages: &mut Stages,
    shutdown: &Shutdown,
) {
    let writer = WriterDeps {
        queue: adapters.queue,
        log: adapters.log.clone(),
        notices: adapters.notices.clone(),
    };
    let manager = ManagerDeps {
        log: adapters.log.clone(),
        source: adapters.source.clone(),
        leases: adapters.source_leases,
        notices: adapters.notices.clone(),
        rebuilds: Some(adapters.source_rebuilds),
    };
    let baker = BakerDeps {
        log: adapters.log,
        source: adapters.source,
        presentation: adapters.presentation,
        leases: adapters.presentation_leases,
        notices: adapters.notices,
        rebuilds: Some(adapters.presentation_rebuilds),
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
