//! Runners of read models and process managers.
use std::sync::Arc;

use anyhow::{Result, ensure};
use bakehouse_engine::handlers::own_feed::OwnFeed;
use bakehouse_engine::handlers::projector::RunnerContext;
use bakehouse_engine::handlers::runner::HandlerDeps;
use bakehouse_engine::handlers::{Feeds, process_runner, projector};
use bakehouse_engine::ports::{FeedSource, Notifications, Scheduler};
use bakehouse_engine::stages::delivery;
use bakehouse_engine::{Domain, Shutdown};
use bakehouse_remote_feed::RemoteFeed;
use tokio::sync::watch;

use crate::faults::plant;
use crate::log_channel::LogChannel;
use crate::{Adapters, Handlers};
use crate::{Settings, Tasks};

/// Dependencies of all runners.
pub(crate) struct HandlerRunners {
    models: (HandlerDeps, RunnerContext),
    processes: (HandlerDeps, RunnerContext),
    notifications: Arc<dyn Notifications>,
}

impl HandlerRunners {
    /// Creates the dependencies from these adapters.
    ///
    /// # Errors
    /// An error if a followed feed of the settings is invalid.
    pub(crate) fn of<D: Domain>(adapters: &Adapters, settings: &Settings) -> Result<Self> {
        let (sender, wake) = watch::channel(0);
        let models = HandlerDeps {
            feeds: feeds::<D>(adapters, settings, &sender)?,
            rows: adapters.rows.clone(),
            scheduler: adapters.scheduler.clone(),
            log: adapters.log.clone(),
            domain: D::NAME,
        };
        let context_of_models = RunnerContext {
            leases: adapters.presentation_leases.clone(),
            notices: adapters.notices.clone(),
            wake_signal: wake,
        };
        let processes = HandlerDeps {
            rows: adapters.states.clone(),
            ..models.clone()
        };
        let context_of_processes = RunnerContext {
            leases: adapters.source_leases.clone(),
            ..context_of_models.clone()
        };
        Ok(Self {
            models: (models, context_of_models),
            processes: (processes, context_of_processes),
            notifications: adapters.notifications.clone(),
        })
    }

    /// Sets the queue to which processes submit commands.
    pub(crate) fn submit_to(&mut self, scheduler: &Arc<dyn Scheduler>) {
        for (deps, _) in [&mut self.models, &mut self.processes] {
            deps.scheduler = scheduler.clone();
        }
    }

    /// Dependencies of the read models.
    pub(crate) fn deps(&self) -> &HandlerDeps {
        &self.models.0
    }

    /// Starts a runner for each handler. New processes begin at the current end of the log: call
    /// this before anything is executed.
    pub(crate) async fn start(
        self,
        handlers: Handlers,
        settings: &Settings,
        tasks: &mut Tasks,
        shutdown: &Shutdown,
    ) {
        let settings = || settings.for_handlers();
        for handler in handlers.read_models {
            let (deps, context) = self.models.clone();
            tasks.run(projector::run(
                deps,
                handler,
                context,
                settings(),
                shutdown.clone(),
            ));
        }
        for handler in handlers.processes {
            let (deps, context) = self.processes.clone();
            if process_runner::prepare(&deps, &handler, shutdown).await {
                tasks.run(process_runner::run(
                    deps,
                    handler,
                    context,
                    settings(),
                    shutdown.clone(),
                ));
            }
        }
    }

    /// Starts the delivery of notifications of processes to the log of this service.
    pub(crate) fn deliver(&self, settings: &Settings, tasks: &mut Tasks, shutdown: &Shutdown) {
        // Notices are not sent on this channel: the delivery polls.
        let (sender, recorded) = watch::channel(0);
        let delivery = delivery::run(
            Arc::new(LogChannel),
            plant(self.notifications.clone()),
            settings.for_delivery(),
            recorded,
            shutdown.clone(),
        );
        tasks.run(async move {
            delivery.await;
            drop(sender);
        });
    }
}

fn feeds<D: Domain>(
    adapters: &Adapters,
    settings: &Settings,
    wake_signal: &watch::Sender<u64>,
) -> Result<Feeds> {
    ensure!(
        !settings.follow.contains_key(D::NAME),
        "follow.{}: remove this setting: a service follows its own feed without it",
        D::NAME
    );
    let (log, presentation) = (adapters.log.clone(), adapters.reader.clone());
    let progress = adapters.source.clone();
    let own = move || -> Arc<dyn FeedSource> {
        Arc::new(OwnFeed {
            log: log.clone(),
            progress: progress.clone(),
            presentation: presentation.clone(),
        })
    };
    let mut feeds = Feeds::default().with(D::NAME, own);
    if settings.follow.is_empty() {
        return Ok(feeds);
    }
    let client = bakehouse_remote_feed::client()?;
    for (name, feed) in &settings.follow {
        let at = (feed.url.expose().clone(), feed.token_file.clone());
        let (domain, client, wake_signal) = (name.clone(), client.clone(), wake_signal.clone());
        let open = move || -> Arc<dyn FeedSource> {
            let client = client.clone();
            Arc::new(RemoteFeed::new(
                &domain,
                at.clone(),
                client,
                wake_signal.clone(),
            ))
        };
        feeds = feeds.with(name, open);
    }
    Ok(feeds)
}
