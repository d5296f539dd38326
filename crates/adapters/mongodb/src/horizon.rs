//! Operation time that reads must not fall behind (causal consistency).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mongodb::ClientSession;
use mongodb::bson::Timestamp;

/// Latest operation time seen from the server, of commits and of reads; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Horizon(Arc<Mutex<Option<Timestamp>>>);

impl Horizon {
    /// Advances the horizon to the operation time of the session.
    pub(crate) fn reach(&self, session: &ClientSession) {
        let mut latest = self.latest();
        *latest = (*latest).max(session.operation_time());
    }

    /// Makes the session's reads wait for the horizon.
    pub(crate) fn apply_to(&self, session: &mut ClientSession) {
        if let Some(latest) = *self.latest() {
            session.advance_operation_time(latest);
        }
    }

    pub(crate) fn latest(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
