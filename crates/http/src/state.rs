//! State that all requests share: the engine's ports, and the settings of single requests.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::feed::Feed;
use bakehouse_engine::ports::{
    EventLog, Notifications, PresentationReader, Progress, Rebuilds, RowReader, Scheduler,
};

use crate::api_definition::ApiDefinition;
use crate::limits::Limits;

/// Dependencies of the routes, shared by all requests.
pub struct AppState {
    /// Schedule queue for accepted operations.
    pub scheduler: Arc<dyn Scheduler>,
    /// Documents and frames.
    pub presentation: Arc<dyn PresentationReader>,
    /// The log: receipts, histories and idempotency keys.
    pub log: Arc<dyn EventLog>,
    /// Progress of the execution.
    pub progress: Arc<dyn Progress>,
    /// Rows of read models.
    pub read_models: Arc<dyn RowReader>,
    /// Parts that can be rebuilt.
    pub rebuilds: RebuildTargets,
    /// Notifications and their delivery.
    pub notifications: Arc<dyn Notifications>,
    /// Hub of the feed.
    pub feed: Arc<Feed>,
    /// Limits on what one client may keep the server busy with.
    pub limits: Limits,
    /// Routes and names of the domain.
    pub api: ApiDefinition,
}

/// Parts that an operator can have rebuilt while they are read.
pub struct RebuildTargets {
    /// The source state, output of orders-manager.
    pub source: Arc<dyn Rebuilds>,
    /// The documents, output of data-baker.
    pub presentation: Arc<dyn Rebuilds>,
}

impl RebuildTargets {
    /// All of them, with their names in the API.
    pub(crate) fn all(&self) -> [(&'static str, &dyn Rebuilds); 2] {
        [
            ("source", self.source.as_ref()),
            ("presentation", self.presentation.as_ref()),
        ]
    }
}

/// Settings that single requests need.
#[derive(Clone, Copy, Debug)]
pub struct RequestSettings {
    /// Largest body, in bytes.
    pub body_limit: usize,
    /// Time that a client may take to send a body.
    pub body_timeout: Duration,
    /// Interval of pings to a subscriber.
    pub heartbeat: Duration,
}
