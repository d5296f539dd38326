//! Changes of an existing entity: repeats, conditions and acceptance.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use bakehouse_engine::Domain;
use bakehouse_engine::ports::StoredDocument;

use super::expected_version::expected;
use super::{Identity, Submission, accept_and_wait, repeat_and_wait};
use crate::auth::Principal;
use crate::reads::load_for_change;
use crate::request::conditional::{Conditions, Current};
use crate::response::problem::Problem;
use crate::state::AppState;

/// Requested change of an existing entity.
pub struct Change<'a> {
    /// Request, for its idempotency key, conditions and preferences.
    pub request: &'a HttpRequest,
    /// Principal that sent the request.
    pub principal: &'a Principal,
    /// Id of the entity.
    pub id: &'a str,
}

impl Change<'_> {
    /// Accepts the command that `command` builds from the entity's document, if there is one, and
    /// the operation's identity. With `Prefer: wait` the response has the operation's outcome.
    ///
    /// # Errors
    /// 404 if there is no such entity, 412 if the conditions of the request do not hold, the
    /// error of `command`, and those of [`accept_and_wait`].
    pub async fn accept<D: Domain>(
        &self,
        state: &AppState,
        command: impl AsyncFnOnce(Option<&StoredDocument>, &Identity) -> Result<D::Command, Problem>,
    ) -> Result<HttpResponse, Problem> {
        let identity = Identity::of(self.request, self.principal)?;
        self.accept_as::<D>(state, identity, command).await
    }

    /// Accepts the change under a given identity; otherwise like [`Change::accept`].
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
        let document = load_for_change(state, self.principal, self.id).await?;
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
