//! Loading of the entity that a request is about, if the principal may view it.

use std::time::Duration;

use bakehouse_engine::Timestamp;
use bakehouse_engine::ports::{Selection, Senders, StoredDocument, SummaryQuery};
use uuid::Uuid;

use super::document;
use crate::auth::Principal;
use crate::request::prefer::Wait;
use crate::response::problem::Problem;
use crate::state::AppState;

/// Time that a change waits for an entity that may have been created just before.
const CREATION_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum age of an id whose entity may not have reached the presentation yet.
const MAX_IN_FLIGHT_AGE: Duration = Duration::from_secs(600);

/// 404: there is no entity with the requested id.
#[must_use]
pub fn entity_not_found(state: &AppState) -> Problem {
    let entity = state.api.entity;
    Problem::not_found(format!("there is no {entity} with this id, or not yet"))
}

/// Returns the entity's document; `None` if it does not exist, or the principal may not view it.
///
/// # Errors
/// 503 when the store does not answer.
pub async fn find(
    state: &AppState,
    principal: &Principal,
    id: &str,
) -> Result<Option<StoredDocument>, Problem> {
    let found = state.presentation.document(id).await?;
    Ok(found.filter(|document| principal.can_view(document.owner.as_deref())))
}

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

/// Checks whether an entity with this id may have been accepted although it is not visible yet,
/// by the time in the id. Ids derived from an idempotency key have no time and always pass.
#[must_use]
pub fn may_be_pending(id: &str) -> bool {
    let Ok(id) = Uuid::parse_str(id) else {
        return false;
    };
    let bytes = id.as_bytes();
    let millis = bytes[..6]
        .iter()
        .fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
    let age = Timestamp::now().millis() - millis;
    id.get_version_num() == 7 && (millis == 0 || age < MAX_IN_FLIGHT_AGE.as_millis() as i64)
}
