//! Entity version that a change must be executed on, from the conditions of its request.

use actix_web::HttpRequest;
use bakehouse_engine::ports::StoredDocument;

use super::Identity;
use crate::request::conditional::{Conditions, Current};
use crate::response::problem::Problem;
use crate::state::AppState;

/// Returns the entity version that a change must be executed on for the conditions of its request
/// to hold; `None`: any version. For changes that are not accepted by [`super::Change::accept`].
///
/// # Errors
/// 400 if the conditions are malformed, 412 if they do not hold, 503 if they cannot be evaluated.
pub async fn expected_version(
    request: &HttpRequest,
    document: Option<&StoredDocument>,
    identity: &Identity,
    state: &AppState,
) -> Result<Option<u64>, Problem> {
    let version = document.map(|document| document.version);
    let current = version.map_or(Current::Unknown, Current::Version);
    expected(&Conditions::of(request)?, current, identity, state).await
}

/// Returns the entity version that a change must be executed on; `None`: any version. A repeat
/// under an idempotency key gets the version of the first request: its conditions are not
/// evaluated again.
pub(super) async fn expected(
    conditions: &Conditions,
    current: Current,
    identity: &Identity,
    state: &AppState,
) -> Result<Option<u64>, Problem> {
    let resolved = conditions.resolve(current);
    if !identity.is_keyed() || *conditions == Conditions::default() {
        return resolved;
    }
    // After the entity was read: this very operation may have changed it in between.
    let Some(known) = identity.find(state.log.as_ref()).await else {
        return resolved;
    };
    let first = known.operation.terms.expected_version;
    match conditions.admit(first) {
        true => Ok(first),
        // The key was used by another request, so that this one is refused later.
        false => Ok(resolved.unwrap_or_default()),
    }
}
