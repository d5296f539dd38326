//! State of the orders API, and the tasks that keep it in order.

use std::sync::Arc;

use bakehouse_engine::Shutdown;
use bakehouse_engine::feed::Feed;
use bakehouse_engine::ports::{Blobs, EventLog, PresentationReader};

use crate::attachments::pending::Pending;
use crate::attachments::sweep::{self, SweepSettings};
use crate::attachments::uploads::Uploads;
use crate::settings::OrderSettings;

/// Shared state of the orders API, in addition to the state of every domain's API.
#[derive(Clone)]
pub struct OrdersState {
    /// Store of attached files.
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) uploads: Arc<Uploads>,
    pub(crate) pending: Arc<Pending>,
}

impl OrdersState {
    /// Creates the state on these stores.
    #[must_use]
    pub fn new(blobs: Arc<dyn Blobs>, log: Arc<dyn EventLog>, settings: &OrderSettings) -> Self {
        let uploads = Uploads::new(settings.attachments.limits);
        Self {
            pending: Pending::new(blobs.clone(), log, uploads.clone()),
            blobs,
            uploads,
        }
    }

    /// Deletes bytes that no order refers to, until shutdown: those of rejected operations when the
    /// feed reports them, all others in the sweep.
    pub async fn clean_up(
        self,
        feed: Arc<Feed>,
        presentation: Arc<dyn PresentationReader>,
        settings: SweepSettings,
        shutdown: Shutdown,
    ) {
        let follow_feed = self.pending.clone().run(feed, shutdown.clone());
        let sweeps = sweep::run(self.pending, presentation, settings, shutdown);
        futures_util::future::join(follow_feed, sweeps).await;
    }
}
