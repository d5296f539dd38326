//! Read models and process managers at work beside the four services.

use std::sync::Arc;

use crate::{Settings, Stages};
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

use crate::log_channel::LogChannel;
use crate::{Adapters, Handlers};

/// What they stand between.
pub(crate) struct HandlerRunners {
    models: (HandlerDeps, RunnerContext),
    processes: (HandlerDeps, RunnerContext),
    notifications: Arc<dyn Notifications>,
}

impl HandlerRunners {
    /// In this world.
    pub(crate) fn of<D: Domain>(adapters: &Adapters, settings: &Settings) -> Result<Self> {
        let (tell, news) = watch::channel(0);
        let models = HandlerDeps {
            feeds: feeds::<D>(adapters, settings, &tell)?,
            rows: adapters.rows.clone(),
            scheduler: adapters.scheduler.clone(),
            log: adapters.log.clone(),
            domain: D::NAME,
        };
        let beside_models = RunnerContext {
            leases: adapters.presentation_leases.clone(),
            notices: adapters.notices.clone(),
            news,
        };
        let processes = HandlerDeps {
            rows: adapters.states.clone(),
            ..models.clone()
        };
        let beside_processes = RunnerContext {
            leases: adapters.source_leases.clone(),
            ..beside_models.clone()
        };
        Ok(Self {
            models: (models, beside_models),
            processes: (processes, beside_processes),
            notifications: adapters.notifications.clone(),
        })
    }

    /// Commands of processes go there from now on.
    pub(crate) fn hand_in_to(&mut self, scheduler: &Arc<dyn Scheduler>) {
        for (deps, _) in [&mut self.models, &mut self.processes] {
            deps.scheduler = scheduler.clone();
        }
    }

    /// What read models stand between.
    pub(crate) fn deps(&self) -> &HandlerDeps {
        &self.models.0
    }

    /// Starts them. Processes that are new begin with what is executed from now on:
    /// to be called before that goes on.
    pub(crate) async fn start(
        self,
        handlers: Handlers,
        settings: &Settings,
        stages: &mut Stages,
        shutdown: &Shutdown,
    ) {
        let how = || settings.for_handlers();
        for handler in handlers.read_models {
            let (deps, beside) = self.models.clone();
            stages.run(projector::run(
                deps,
                handler,
                beside,
                how(),
                shutdown.clone(),
            ));
        }
        for handler in handlers.processes {
            let (deps, beside) = self.processes.clone();
            if process_runner::prepare(&deps, &handler, shutdown).await {
                stages.run(process_runner::run(
                    deps,
                    handler,
                    beside,
                    how(),
                    shutdown.clone(),
                ));
            }
        }
    }

    /// Sends what processes ask for into the log, for as long as the service lives.
    pub(crate) fn deliver(&self, settings: &Settings, stages: &mut Stages, shutdown: &Shutdown) {
        // Nobody tells it: it looks by itself.
        let (silent, recorded) = watch::channel(0);
        let delivery = delivery::run(
            Arc::new(LogChannel),
            self.notifications.clone(),
            settings.for_delivery(),
            recorded,
            shutdown.clone(),
        );
        stages.run(async move {
            delivery.await;
            drop(silent);
        });
    }
}

fn feeds<D: Domain>(
    adapters: &Adapters,
    settings: &Settings,
    news: &watch::Sender<u64>,
) -> Result<Feeds> {
    ensure!(
        !settings.follow.contains_key(D::NAME),
        "follow.{}: that is this service's own feed, which it has without being told",
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
        let (domain, client, news) = (name.clone(), client.clone(), news.clone());
        let open = move || -> Arc<dyn FeedSource> {
            let client = client.clone();
            Arc::new(RemoteFeed::new(&domain, at.clone(), client, news.clone()))
        };
        feeds = feeds.with(name, open);
    }
    Ok(feeds)
}
