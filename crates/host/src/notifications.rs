//! Notifications of a domain: its rules, its channels, and the stages that send them.

use std::sync::Arc;

use bakehouse_engine::Shutdown;
use bakehouse_engine::model::notification::NotificationRules;
use bakehouse_engine::ports::Channel;
use bakehouse_engine::stages::notifier::NotifierDeps;
use bakehouse_engine::stages::{delivery, notifier};
use tokio::sync::watch;

use crate::faults::plant;
use crate::{Settings, Tasks};

/// Rules and channels of notifications.
pub struct Notifications {
    /// Recipients and texts.
    pub rules: Arc<dyn NotificationRules>,
    /// Channels that send them.
    pub channels: Vec<Arc<dyn Channel>>,
}

/// Creates what the notifier needs, so that no frame from now on is missed; then starts it, and
/// a delivery for each channel. Returns early at shutdown.
pub(crate) async fn run(
    notifications: Notifications,
    deps: NotifierDeps,
    settings: &Settings,
    tasks: &mut Tasks,
    shutdown: &Shutdown,
) {
    if !notifier::prepare(&deps, shutdown).await {
        return;
    }
    let (recorded, wake) = watch::channel(0);
    for channel in notifications.channels {
        tasks.run(delivery::run(
            channel,
            plant(deps.notifications.clone()),
            settings.for_delivery(),
            wake.clone(),
            shutdown.clone(),
        ));
    }
    tasks.run(notifier::run(
        deps,
        notifications.rules,
        settings.for_notifier(),
        recorded,
        shutdown.clone(),
    ));
}
