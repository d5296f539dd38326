//! Lookup of the entity that a request is about, if the principal may view it.

use std::time::Duration;

use bakehouse_engine::Timestamp;
use bakehouse_engine::ports::StoredDocument;
use uuid::Uuid;

use crate::auth::Principal;
use crate::response::problem::Problem;
use crate::state::AppState;

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
