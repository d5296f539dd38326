//! Wait for a document: woken by the feed, decided by the store.

use std::time::Duration;

use bakehouse_engine::ports::StoredDocument;

use super::find::{find, may_be_pending};
use crate::auth::Principal;
use crate::request::prefer::Wait;
use crate::response::problem::Problem;
use crate::state::AppState;

/// Interval of reads while the feed is not available to wake the wait.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Returns the entity's document as soon as `is_wanted` accepts it, or the current one when the
/// wait is over. Without a wait, returns the current one at once. An entity that cannot be in
/// flight is not waited for.
///
/// # Errors
/// 503 when the store does not answer.
pub async fn document(
    state: &AppState,
    principal: &Principal,
    id: &str,
    wait: Option<&Wait>,
    is_wanted: impl Fn(&StoredDocument) -> bool,
) -> Result<Option<StoredDocument>, Problem> {
    let Some(wait) = wait else {
        return find(state, principal, id).await;
    };
    // Registered before the read, so that a later change wakes the wait.
    let mut interest = state.feed.interest_in(id);
    loop {
        let found = find(state, principal, id).await?;
        let is_futile = found.is_none() && !may_be_pending(id);
        if found.as_ref().is_some_and(&is_wanted) || is_futile || wait.is_over() {
            return Ok(found);
        }
        let changed = async {
            tokio::select! {
                () = interest.changed() => {}
                () = tokio::time::sleep(POLL_INTERVAL), if state.feed.epoch().is_none() => {}
            }
        };
        wait.wait_for(changed).await;
    }
}
