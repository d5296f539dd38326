//! What all changes of an order have in common: `PUT` and `DELETE` on it, and
//! `PUT` on its status.

use actix_web::{HttpRequest, HttpResponse};
use bakehouse_orders::Command;
use bakehouse_pipeline::ports::StoredDocument;

use super::accept::{Submission, accept};
use super::key::Identity;
use super::target;
use crate::access::Principal;
use crate::conditions::expected_version;
use crate::problem::Problem;
use crate::server::Doors;

/// A change that somebody asks for.
pub(crate) struct Change<'a> {
    pub(crate) request: &'a HttpRequest,
    pub(crate) principal: &'a Principal,
    pub(crate) order_id: &'a str,
}

impl Change<'_> {
    /// Accepts what `command` makes of the order's document, if it can be had, and
    /// of what the operation is known by.
    pub(crate) async fn accept(
        &self,
        doors: &Doors,
        command: impl AsyncFnOnce(Option<&StoredDocument>, &Identity) -> Result<Command, Problem>,
    ) -> Result<HttpResponse, Problem> {
        let identity = Identity::of(self.request, self.principal)?;
        let expected = expected_version(self.request)?;
        let document = target::to_change(doors, self.principal, self.order_id).await?;
        let command = command(document.as_ref(), &identity).await?;
        // Versions only rise: what is wrong now is wrong at execution. With an
        // idempotency key the first answer counts, whatever has happened since.
        let version = document.map(|document| document.version);
        if let (Some(version), Some(expected), false) = (version, expected, identity.is_keyed())
            && version > expected
        {
            return Err(Problem::precondition_failed(version));
        }
        let submission = Submission::of_command(
            identity,
            self.order_id,
            format!("/order/{}", self.order_id),
            &command,
            self.principal.terms_of_change(expected),
        )?;
        accept(doors, submission).await
    }
}
