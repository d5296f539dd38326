//! Loading of the entity that is to be changed, if the principal may view it.

use std::time::Duration;

use bakehouse_engine::ports::{Selection, Senders, StoredDocument, SummaryQuery};

use super::find::{entity_not_found, find};
use super::wait::document;
use crate::auth::Principal;
use crate::request::prefer::Wait;
use crate::response::problem::Problem;
use crate::state::AppState;

/// Time that a change waits for an entity that may have been created just before.
const CREATION_TIMEOUT: Duration = Duration::from_secs(2);

/// Returns the document of an entity that is to be changed; waits for it if it may have been
/// created just before. `None` if the entity is in the log but not in the presentation yet, or if
/// the presentation does not answer. Owner and version are checked at execution in any case.
///
/// # Errors
/// 404 for an entity that does not exist or has another owner; the two cannot be distinguished,
/// not even by the response time. 503 when there is no document and the log does not answer.
pub async fn load_for_change(
    state: &AppState,
    principal: &Principal,
    id: &str,
) -> Result<Option<StoredDocument>, Problem> {
    let found = match find(state, principal, id).await {
        Ok(None) => {
            let wait = Wait::lasting(CREATION_TIMEOUT);
            document(state, principal, id, Some(&wait), |_| true).await
        }
        found => found,
    };
    match found {
        Ok(Some(document)) => Ok(Some(document)),
        Ok(None) if is_in_log(state, principal, id).await? => Ok(None),
        Ok(None) => Err(entity_not_found(state)),
        Err(problem) => {
            tracing::warn!("accepting a change without its entity's document: {problem}");
            Ok(None)
        }
    }
}

/// Checks whether the log contains the entity's creation beyond the position of the presentation:
/// a change of an accepted entity must not be refused because the presentation lags.
async fn is_in_log(state: &AppState, principal: &Principal, id: &str) -> Result<bool, Problem> {
    let query = SummaryQuery {
        senders: principal
            .restricted_to_owner()
            .map_or(Senders::Any, Senders::Owner),
        after: state.feed.head_position(),
        ..SummaryQuery::first(Selection::Creation(id), 1)
    };
    Ok(!state.log.summaries(&query).await?.is_empty())
}
