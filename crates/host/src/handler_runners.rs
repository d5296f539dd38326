//! Read models and process managers at work beside the four services.

use std::sync::Arc;

use crate::{Settings, Stages};
use anyhow::{Result, ensure};
use bakehouse_engine::follow::follower::FollowDoors;
use bakehouse_engine::follow::own_feed::OwnFeed;
use bakehouse_engine::follow::projector::Surroundings;
use bakehouse_engine::follow::{Feeds, attendant, projector};
use bakehouse_engine::ports::{Facts, Notifications, Scheduler};
use bakehouse_engine::{Domain, Shutdown, courier};
use bakehouse_remote_feed::RemoteFeed;
use tokio::sync::watch;

use crate::log_channel::LogChannel;
use crate::{Handlers, World};

/// What they stand between.
pub(crate) struct Following {
    models: (FollowDoors, Surroundings),
    processes: (FollowDoors, Surroundings),
    notifications: Arc<dyn Notifications>,
}

impl Following {
    /// In this world.
    pub(crate) fn of<D: Domain>(world: &World, settings: &Settings) -> Result<Self> {
        let (tell, news) = watch::channel(0);
        let models = FollowDoors {
            feeds: feeds::<D>(world, settings, &tell)?,
            rows: world.rows.clone(),
            scheduler: world.scheduler.clone(),
            log: world.log.clone(),
            domain: D::NAME,
        };
        let beside_models = Surroundings {
            leases: world.presentation_leases.clone(),
            notices: world.notices.clone(),
            news,
        };
        let processes = FollowDoors {
            rows: world.states.clone(),
            ..models.clone()
        };
        let beside_processes = Surroundings {
            leases: world.source_leases.clone(),
            ..beside_models.clone()
        };
        Ok(Self {
            models: (models, beside_models),
            processes: (processes, beside_processes),
            notifications: world.notifications.clone(),
        })
    }

    /// Commands of processes go there from now on.
    pub(crate) fn hand_in_to(&mut self, scheduler: &Arc<dyn Scheduler>) {
        for (doors, _) in [&mut self.models, &mut self.processes] {
            doors.scheduler = scheduler.clone();
        }
    }

    /// What read models stand between.
    pub(crate) fn doors(&self) -> &FollowDoors {
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
        let how = || settings.for_followers();
        for handler in handlers.read_models {
            let (doors, beside) = self.models.clone();
            stages.run(projector::run(
                doors,
                handler,
                beside,
                how(),
                shutdown.clone(),
            ));
        }
        for handler in handlers.processes {
            let (doors, beside) = self.processes.clone();
            if attendant::prepare(&doors, &handler, shutdown).await {
                stages.run(attendant::run(
                    doors,
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
        let courier = courier::run(
            Arc::new(LogChannel),
            self.notifications.clone(),
            settings.for_courier(),
            recorded,
            shutdown.clone(),
        );
        stages.run(async move {
            courier.await;
            drop(silent);
        });
    }
}

fn feeds<D: Domain>(
    world: &World,
    settings: &Settings,
    news: &watch::Sender<u64>,
) -> Result<Feeds> {
    ensure!(
        !settings.follow.contains_key(D::NAME),
        "follow.{}: that is this service's own feed, which it has without being told",
        D::NAME
    );
    let (log, presentation) = (world.log.clone(), world.reader.clone());
    let progress = world.source.clone();
    let own = move || -> Arc<dyn Facts> {
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
        let open = move || -> Arc<dyn Facts> {
            let client = client.clone();
            Arc::new(RemoteFeed::new(&domain, at.clone(), client, news.clone()))
        };
        feeds = feeds.with(name, open);
    }
    Ok(feeds)
}
