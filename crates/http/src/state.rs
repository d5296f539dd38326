//! State shared by all requests: the engine's ports, and the settings of single requests.

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
    /// Queue of accepted operations.
    pub scheduler: Arc<dyn Scheduler>,
    /// Reader of documents and frames.
    pub presentation: Arc<dyn PresentationReader>,
    /// Log of operations: receipts, histories and idempotency keys.
    pub log: Arc<dyn EventLog>,
    /// Progress of the execution.
    pub progress: Arc<dyn Progress>,
    /// Reader of read models' rows.
    pub read_models: Arc<dyn RowReader>,
    /// Stage outputs that can be rebuilt online.
    pub rebuilds: RebuildTargets,
    /// Notifications and their delivery.
    pub notifications: Arc<dyn Notifications>,
    /// Hub of the feed.
    pub feed: Arc<Feed>,
    /// Limits on concurrent and expensive work of one client.
    pub limits: Limits,
    /// Routes and names of the domain.
    pub api: ApiDefinition,
}

/// Stage outputs that an operator can rebuild online.
pub struct RebuildTargets {
    /// Source state, the output of the manager stage.
    pub source: Arc<dyn Rebuilds>,
    /// Documents, the output of the baker stage.
    pub presentation: Arc<dyn Rebuilds>,
}

impl RebuildTargets {
    /// Returns every target with its name in the API.
    pub(crate) fn all(&self) -> [(&'static str, &dyn Rebuilds); 2] {
        [
            ("source", self.source.as_ref()),
            ("presentation", self.presentation.as_ref()),
        ]
    }
}

/// Settings used by single requests.
#[derive(Clone, Copy, Debug)]
pub struct RequestSettings {
    /// Maximum length of a request body, in bytes.
    pub body_limit: usize,
    /// Time limit for a client to send a body.
    pub body_timeout: Duration,
    /// Interval of pings to a feed subscriber.
    pub heartbeat: Duration,
}
