//! All services in one process, with read models and process managers.
use std::sync::Arc;

use anyhow::{Result, bail};
use bakehouse_engine::backoff::Backoff;
use bakehouse_engine::feed::Feed;
use bakehouse_engine::ports::{EventLog, StoreError};
use bakehouse_engine::single_transaction::{SingleTransactionDeps, SingleTransactionEngine};
use bakehouse_engine::stages::baker::{self, BakerDeps};
use bakehouse_engine::stages::manager::{self, ManagerDeps};
use bakehouse_engine::stages::notifier::NotifierDeps;
use bakehouse_engine::stages::writer::{self, WriterDeps};
use bakehouse_engine::{Domain, Shutdown};
use bakehouse_http::{ApiDefinition, AppState, RebuildTargets};

use crate::faults::plant;
use crate::handler_runners::HandlerRunners;
use crate::notifications::{self, Notifications};
use crate::readiness::{Watched, readiness};
use crate::settings::Mode;
use crate::{Adapters, Handlers, http_server};
use crate::{Settings, Tasks};

/// Parts of a process that runs all services.
pub(crate) struct Parts {
    /// Adapters behind the ports.
    pub(crate) adapters: Adapters,
    /// API, not running yet.
    pub(crate) api: Api,
    /// Read models and process managers.
    pub(crate) handlers: Handlers,
    /// Notifications, if any are configured.
    pub(crate) notifications: Option<Notifications>,
}

/// API of a process, not running yet.
pub(crate) struct Api {
    /// Hub of the feed.
    pub(crate) feed: Arc<Feed>,
    /// Routes and names of the domain.
    pub(crate) definition: ApiDefinition,
}

/// Starts all services: the API at once, the stages as soon as their stores are ready.
///
/// # Errors
/// An error if the HTTP address cannot be bound, the store has the log of another domain, or a
/// handler is invalid.
pub(crate) async fn serve<D: Domain>(
    parts: Parts,
    settings: &Settings,
    tasks: &mut Tasks,
    shutdown: &Shutdown,
) -> Result<()> {
    let Parts {
        mut adapters,
        api,
        handlers,
        notifications: of_domain,
    } = parts;
    let has_processes = !handlers.processes.is_empty();
    let mut runners = HandlerRunners::of::<D>(&adapters, settings)?;
    handlers.check(&runners.deps().feeds)?;
    let mut single_transaction = None;
    if settings.mode != Mode::Asynchronous {
        let deps = single_transaction_deps::<D>(&adapters, &handlers, &runners)?;
        let (engine, queue) = SingleTransactionEngine::<D>::new(deps);
        adapters.scheduler = queue;
        runners.submit_to(&adapters.scheduler);
        single_transaction = Some(engine);
    }
    let of_own_feed = handlers.clone().of_own_feed(D::NAME);
    let read_models = of_own_feed.read_models.iter();
    let read_models = read_models.map(|model| model.name()).collect();
    // Writes are accepted and documents read before the stages are ready.
    start_api::<D>(
        &adapters,
        api,
        read_models,
        of_domain.is_some(),
        settings,
        tasks,
        shutdown,
    )?;
    tasks.try_run(store_failure(&mut adapters, shutdown.clone()));
    let prepared = std::mem::replace(&mut adapters.prepared, Box::pin(std::future::ready(true)));
    if !(prepared.await && is_ours::<D>(adapters.log.as_ref(), shutdown).await?) {
        return Ok(());
    }
    // The notifier's checkpoint must exist before the first operation is executed: otherwise frames
    // would be missed.
    if let Some(of_domain) = of_domain {
        let deps = notifier_deps(&adapters);
        notifications::run(of_domain, deps, settings, tasks, shutdown).await;
    }
    if has_processes {
        runners.deliver(settings, tasks, shutdown);
    }
    // Runners are needed in every mode: for handlers that lag, or are rebuilt.
    runners.start(handlers, settings, tasks, shutdown).await;
    match single_transaction {
        Some(engine) => tasks.run(engine.run(adapters.queue, shutdown.clone())),
        None => run_stages::<D>(adapters, settings, tasks, shutdown),
    }
    Ok(())
}

/// Starts the HTTP server with its readiness checks, and the feed. `read_models` are the names of
/// those that this process builds from its own feed alone.
///
/// # Errors
/// An error if the HTTP address cannot be bound, or a setting is invalid.
pub(crate) fn start_api<D: Domain>(
    adapters: &Adapters,
    api: Api,
    read_models: Vec<&'static str>,
    notifies: bool,
    settings: &Settings,
    tasks: &mut Tasks,
    shutdown: &Shutdown,
) -> Result<()> {
    let Api { feed, definition } = api;
    let state = AppState {
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
        api: definition,
    };
    let watched = Watched {
        domain: D::NAME,
        backlog: adapters.backlog.clone(),
        policies: adapters.policies.clone(),
        notifier: notifies.then(|| adapters.source_inspector.clone()),
        read_models,
        stall_timeout: settings.health.stall_timeout,
    };
    let (probes, watch) = readiness(&state, adapters.probes.clone(), watched, shutdown.clone());
    tasks.run(watch);
    let server = http_server::http(settings, state, probes, shutdown)?;
    tasks.run(feed.run(adapters.notices.clone(), shutdown.clone()));
    tasks.try_run(server.run(shutdown.clone()));
    Ok(())
}

/// Ends with an error once the stores have failed permanently.
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

/// Dependencies of the single-transaction engine.
fn single_transaction_deps<D: Domain>(
    adapters: &Adapters,
    handlers: &Handlers,
    runners: &HandlerRunners,
) -> Result<SingleTransactionDeps> {
    let Some(units) = adapters.units.clone() else {
        bail!("mode: these stores have no transaction over all of them; use asynchronous");
    };
    let own = handlers.clone().of_own_feed(D::NAME);
    Ok(SingleTransactionDeps {
        units,
        log: adapters.log.clone(),
        source: adapters.source.clone(),
        presentation: adapters.presentation.clone(),
        follow: runners.deps().clone(),
        source_rebuilds: adapters.source_rebuilds.clone(),
        presentation_rebuilds: adapters.presentation_rebuilds.clone(),
        leases: adapters.source_leases.clone(),
        notices: adapters.notices.clone(),
        read_models: own.read_models,
        processes: own.processes,
    })
}

fn notifier_deps(adapters: &Adapters) -> NotifierDeps {
    NotifierDeps {
        log: adapters.log.clone(),
        source: adapters.source.clone(),
        presentation: adapters.reader.clone(),
        notifications: adapters.notifications.clone(),
        leases: adapters.source_leases.clone(),
        notices: adapters.notices.clone(),
    }
}

fn run_stages<D: Domain>(
    adapters: Adapters,
    settings: &Settings,
    tasks: &mut Tasks,
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
    tasks.run(writer::run(plant(writer), s.for_writer(), end()));
    tasks.run(manager::run::<D>(plant(manager), s.for_manager(), end()));
    tasks.run(baker::run::<D>(plant(baker), s.for_baker(), end()));
}

/// Checks that the log belongs to this domain. Returns `false` at shutdown.
///
/// # Errors
/// An error if it belongs to another domain.
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
