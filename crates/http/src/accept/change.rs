//! What all changes of something that is there have in common.

use actix_web::{HttpRequest, HttpResponse};
use bakehouse_pipeline::Domain;
use bakehouse_pipeline::ports::StoredDocument;

use super::{Identity, Submission, accept};
use crate::access::Principal;
use crate::conditions::expected_version;
use crate::problem::Problem;
use crate::reading::to_change;
use crate::server::Doors;

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
    /// of what the operation is known by.
    ///
    /// # Errors
    /// 404 when there is no such entity, 412 when it is past the version that the
    /// change is based on, what `command` refuses, and those of [`accept`].
    pub async fn accept<D: Domain>(
        &self,
        doors: &Doors,
        command: impl AsyncFnOnce(Option<&StoredDocument>, &Identity) -> Result<D::Command, Problem>,
    ) -> Result<HttpResponse, Problem> {
        let identity = Identity::of(self.request, self.principal)?;
        let expected = expected_version(self.request)?;
        let document = to_change(doors, self.principal, self.id).await?;
        let command = command(document.as_ref(), &identity).await?;
        // Versions only rise: what is wrong now is wrong at execution. With an
        // idempotency key the first answer counts, whatever has happened since.
        let version = document.map(|document| document.version);
        if let (Some(version), Some(expected), false) = (version, expected, identity.is_keyed())
            && version > expected
        {
            return Err(Problem::precondition_failed(version));
        }
        let submission = Submission::of_command::<D>(
            identity,
            self.id,
            (doors.menu.location)(self.id),
            &command,
            self.principal.terms_of_change(expected),
        )?;
        accept(doors, submission).await
    }
}
