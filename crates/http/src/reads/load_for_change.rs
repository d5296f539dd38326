//! The entity that a request is about: there, and the principal's to see.

use std::time::Duration;

use bakehouse_engine::Timestamp;
use bakehouse_engine::ports::{Selection, Senders, StoredDocument, SummaryQuery};
use uuid::Uuid;

use super::document;
use crate::auth::Principal;
use crate::request::prefer::Wait;
use crate::response::problem::Problem;
use crate::state::AppState;

/// How long a change waits for what may just have been made.
const PATIENCE: Duration = Duration::from_secs(2);
/// How old an id may be for what it names to be still on its way.
const RECENT: Duration = Duration::from_secs(600);

/// That there is no such entity.
#[must_use]
pub fn no_such(state: &AppState) -> Problem {
    let entity = state.api.entity;
    Problem::not_found(format!("there is no {entity} with this id, or not yet"))
}

/// The entity's document, if there is one that the principal may see.
///
/// # Errors
/// 503 when that cannot be found out now.
pub async fn find(
    state: &AppState,
    principal: &Principal,
    id: &str,
) -> Result<Option<StoredDocument>, Problem> {
    let found = state.presentation.document(id).await?;
    Ok(found.filter(|document| principal.can_view(document.owner.as_deref())))
}

/// The document of an entity that is to be changed. One that has only just been
/// made is waited for. `None`: it is in the log, but its document takes its time; or nobody
/// can say right now whether there is one. Its owner and version are checked at execution in
/// any case.
///
/// # Errors
/// 404 for an entity that does not exist, or is another owner's, which is told
/// apart by nothing, not even by the time it takes; 503 when there is no document, and whether
/// it is on its way cannot be found out now.
pub async fn to_change(
    state: &AppState,
    principal: &Principal,
    id: &str,
) -> Result<Option<StoredDocument>, Problem> {
    let found = match find(state, principal, id).await {
        Ok(None) => {
            let wait = Wait::lasting(PATIENCE);
            document(state, principal, id, Some(&wait), |_| true).await
        }
        found => found,
    };
    match found {
        Ok(Some(document)) => Ok(Some(document)),
        Ok(None) if is_on_its_way(state, principal, id).await? => Ok(None),
        Ok(None) => Err(no_such(state)),
        Err(problem) => {
            tracing::warn!("a change is accepted without a look at its entity: {problem}");
            Ok(None)
        }
    }
}

/// Whether the log has it, further on than documents go: a change of what was accepted is not
/// to be refused for their being late.
async fn is_on_its_way(state: &AppState, principal: &Principal, id: &str) -> Result<bool, Problem> {
    let query = SummaryQuery {
        senders: principal.confined_to().map_or(Senders::Any, Senders::Owner),
        after: state.feed.head_position(),
        ..SummaryQuery::first(Selection::Creation(id), 1)
    };
    Ok(!state.log.summaries(&query).await?.is_empty())
}

/// Whether what has this id may have been accepted although it cannot be seen
/// yet: by the time in the id; one that was made from an idempotency key has none.
#[must_use]
pub fn may_be_on_its_way(id: &str) -> bool {
    let Ok(id) = Uuid::parse_str(id) else {
        return false;
    };
    let bytes = id.as_bytes();
    let millis = bytes[..6]
        .iter()
        .fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
    let age = Timestamp::now().millis() - millis;
    id.get_version_num() == 7 && (millis == 0 || age < RECENT.as_millis() as i64)
}
