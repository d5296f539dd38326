//! Limits of what one client may keep the server busy with.
//!
//! - `quota`: how many at the same time, of each client and in all;
//! - `leaky`: how many within a time, of each key;
//! - `reads`: reads of the log, which may be long, take turns;
//! - `refusals`: changes of one entity that were refused;
//! - `awaited`: one look at the log for all who wait for operations.

mod awaited;
mod leaky;
mod quota;
mod reads;
mod refusals;

use std::sync::Arc;

use actix_web::HttpRequest;
use bakehouse_engine::Shutdown;

pub(crate) use awaited::{Awaited, is_at_rest};
pub(crate) use leaky::Leaky;
pub use quota::{Exceeded, Permit, Quota};
pub use reads::ReadTurn;
use reads::Reads;
pub(crate) use refusals::Refusals;

use crate::auth::{Principal, RateLimitKey};
use crate::response::problem::Problem;
use crate::state::AppState;

/// Limits as the settings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Maximum number of answers that wait at the same time (`Prefer: wait`), in all.
    pub max_waits: usize,
    /// Maximum number of those for one principal, or address.
    pub max_waits_per_client: usize,
    /// Maximum number of reads of the log at the same time; eight times as many may be in
    /// line.
    pub max_log_reads: usize,
    /// Maximum number of changes of one entity that may be refused within a minute, of one
    /// principal; 0: any number.
    pub max_refused_changes: u32,
}

/// The limits of one process; part of [`AppState`].
pub struct Limits {
    pub(crate) waits: Arc<Quota>,
    pub(crate) awaited: Awaited,
    pub(crate) refusals: Refusals,
    reads: Reads,
}

impl Limits {
    /// Limits as the settings say.
    #[must_use]
    pub fn new(settings: &LimitSettings) -> Self {
        Self {
            waits: Quota::new(settings.max_waits, settings.max_waits_per_client),
            awaited: Awaited::default(),
            refusals: Refusals::new(settings.max_refused_changes),
            reads: Reads::new(settings.max_log_reads),
        }
    }

    /// A turn for a read of the log, which may be long; held until it is dropped.
    ///
    /// # Errors
    /// 429 when this client has enough in line, 503 when all have.
    pub async fn read(
        &self,
        request: &HttpRequest,
        principal: &Principal,
    ) -> Result<ReadTurn, Problem> {
        let caller = RateLimitKey::of_request(Some(principal), request);
        self.reads.turn(caller).await
    }

    /// Does until shutdown what the limits need beside the requests.
    pub(crate) async fn run(&self, state: &AppState, shutdown: &Shutdown) {
        tokio::join!(
            self.awaited.run(state.log.as_ref(), &state.feed, shutdown),
            self.refusals.run(&state.feed, &state.api, shutdown),
        );
    }
}
