//! What all changes of something that is there have in common.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use bakehouse_engine::Domain;
use bakehouse_engine::ports::StoredDocument;

use super::{Identity, Submission, accept_and_wait, repeat_and_wait};
use crate::auth::Principal;
use crate::reads::to_change;
use crate::request::conditional::{Conditions, Current};
use crate::response::problem::Problem;
use crate::state::AppState;

/// A change that somebody asks for.
pub struct Change<'a> {
    /// How they ask: with which key, and based on which version.
    pub request: &'a HttpRequest,
    /// Who asks.
    pub principal: &'a Principal,
    /// Of what.
    pub id: &'a str,
}

impl Change<'_> {
    /// Accepts what `command` makes of the entity's document, if it can be had, and
    /// of what the operation is known by; with `Prefer: wait` answers once it is settled.
    ///
    /// # Errors
    /// 404 when there is no such entity, 412 when it is not as the conditions of the request
    /// want it, what `command` refuses, and those of [`accept_and_wait`].
    pub async fn accept<D: Domain>(
        &self,
        state: &AppState,
        command: impl AsyncFnOnce(Option<&StoredDocument>, &Identity) -> Result<D::Command, Problem>,
    ) -> Result<HttpResponse, Problem> {
        let identity = Identity::of(self.request, self.principal)?;
        self.accept_as::<D>(state, identity, command).await
    }

    /// Accepts an operation whose identity the caller has.
    ///
    /// # Errors
    /// Those of [`Change::accept`].
    pub async fn accept_as<D: Domain>(
        &self,
        state: &AppState,
        mut identity: Identity,
        command: impl AsyncFnOnce(Option<&StoredDocument>, &Identity) -> Result<D::Command, Problem>,
    ) -> Result<HttpResponse, Problem> {
        let conditions = Conditions::of(self.request)?;
        let (request, principal) = (self.request, self.principal);
        let success = StatusCode::OK;
        let repeat = repeat_and_wait(request, principal, state, &mut identity, success);
        if let Some(answer) = repeat.await? {
            return Ok(answer);
        }
        let document = to_change(state, self.principal, self.id).await?;
        let command = command(document.as_ref(), &identity).await?;
        let version = document.map(|document| document.version);
        let current = version.map_or(Current::Unknown, Current::Version);
        let expected = expected(&conditions, current, &identity, state).await?;
        let submission = Submission::of_command::<D>(
            identity,
            self.id,
            (state.api.location)(self.id),
            &command,
            self.principal.terms_of_change(expected),
        )?;
        accept_and_wait(request, principal, state, submission).await
    }
}

/// The version that a change of this entity has to be carried out on for the conditions of its
/// request to hold; `None`: any. For those who do not go by [`Change::accept`].
///
/// # Errors
/// 400 for conditions that are none, 412 when they do not hold, 503 when that cannot be told.
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

/// The version that a change has to be carried out on. With an idempotency key the first answer
/// counts, whatever has happened since: what the log knows is held to the conditions no more.
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
    // After the look at the entity: what has changed it may have been this very operation.
    let Some(known) = identity.find(state.log.as_ref()).await else {
        return resolved;
    };
    let before = known.operation.terms.expected_version;
    match conditions.admit(before) {
        true => Ok(before),
        // Of another request, so that it makes no difference.
        false => Ok(resolved.unwrap_or_default()),
    }
}
