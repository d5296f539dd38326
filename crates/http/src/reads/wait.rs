//! Waiting for a document to come about: woken by the feed, decided by the store.

use std::time::Duration;

use bakehouse_engine::ports::StoredDocument;

use super::load_for_change::{find, may_be_on_its_way};
use crate::auth::Principal;
use crate::request::prefer::Wait;
use crate::response::problem::Problem;
use crate::state::AppState;

/// Between two looks while the feed cannot wake us.
const PAUSE: Duration = Duration::from_millis(100);

/// The entity's document as soon as it is one that is wanted; or, when time is
/// up, as it then is. Without a wait, as it is now. An entity that cannot be on
/// its way is not waited for.
///
/// # Errors
/// 503 when that cannot be found out now.
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
    // Registered before the look: what comes after the look wakes us.
    let mut change = state.feed.change_of(id);
    loop {
        let found = find(state, principal, id).await?;
        let is_futile = found.is_none() && !may_be_on_its_way(id);
        if found.as_ref().is_some_and(&is_wanted) || is_futile || wait.is_over() {
            return Ok(found);
        }
        let changed = async {
            tokio::select! {
                () = change.happened() => {}
                () = tokio::time::sleep(PAUSE), if state.feed.epoch().is_none() => {}
            }
        };
        wait.wait_for(changed).await;
    }
}
