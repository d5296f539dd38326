//! Limits on concurrent and expensive work of one client.
//!
//! - `quota`: limits on concurrent uses, per client and in total;
//! - `leaky`: limits on events within a period, per key;
//! - `reads`: queue of reads of the log, which may be long;
//! - `refusals`: limit on refused changes of one entity;
//! - `awaited`: one shared poll of the log for all requests that wait for operations.

mod awaited;
mod leaky;
mod quota;
mod reads;
mod refusals;

use std::sync::Arc;

use actix_web::HttpRequest;
use bakehouse_engine::Shutdown;
use bakehouse_engine::feed::Feed;
use bakehouse_engine::ports::EventLog;

pub(crate) use awaited::{Awaited, is_final};
pub(crate) use leaky::LeakyBuckets;
pub use quota::{Exceeded, Permit, Quota};
pub use reads::ReadPermit;
use reads::Reads;
pub(crate) use refusals::Refusals;

use crate::api_definition::ApiDefinition;
use crate::auth::{Principal, RateLimitKey};
use crate::response::problem::Problem;

/// Settings of the limits on one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Maximum number of concurrent requests that wait (`Prefer: wait`), in total.
    pub max_waits: usize,
    /// Maximum number of concurrent requests that wait, per principal or address.
    pub max_waits_per_client: usize,
    /// Maximum number of concurrent reads of the log; eight times as many may run or be queued.
    pub max_log_reads: usize,
    /// Maximum number of refused changes of one entity per minute and principal; 0: unlimited.
    pub max_refused_changes: u32,
}

/// Limits of one process; part of the state of all requests.
pub struct Limits {
    pub(crate) waits: Arc<Quota>,
    pub(crate) awaited: Awaited,
    pub(crate) refusals: Refusals,
    reads: Reads,
}

impl Limits {
    /// Creates limits from the settings.
    #[must_use]
    pub fn new(settings: &LimitSettings) -> Self {
        Self {
            waits: Quota::new(settings.max_waits, settings.max_waits_per_client),
            awaited: Awaited::default(),
            refusals: Refusals::new(settings.max_refused_changes),
            reads: Reads::new(settings.max_log_reads),
        }
    }

    /// Waits for a permit to read the log, which may take long; the permit is released when it is
    /// dropped.
    ///
    /// # Errors
    /// 429 if the client has too many reads queued; 503 if the queue is full or the wait times
    /// out.
    pub async fn read(
        &self,
        request: &HttpRequest,
        principal: &Principal,
    ) -> Result<ReadPermit, Problem> {
        let key = RateLimitKey::of_request(Some(principal), request);
        self.reads.acquire(key).await
    }

    /// Runs the background tasks of the limits until shutdown.
    pub(crate) async fn run(
        &self,
        log: &dyn EventLog,
        feed: &Arc<Feed>,
        api: &ApiDefinition,
        shutdown: &Shutdown,
    ) {
        tokio::join!(
            self.awaited.run(log, feed, shutdown),
            self.refusals.run(feed, api, shutdown),
        );
    }
}
