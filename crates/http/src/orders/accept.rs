//! Accepting an operation: its way into the schedule queue, and the 202.

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, LOCATION};
use bakehouse_orders::{Command, Orders};
use bakehouse_pipeline::{Domain, Operation, Terms, Timestamp, to_json};

use super::key::Identity;
use crate::problem::Problem;
use crate::server::Doors;

/// An operation that may be accepted.
pub(crate) struct Submission {
    pub(crate) identity: Identity,
    pub(crate) order_id: String,
    /// Where what it makes or changes can be read.
    pub(crate) location: String,
    pub(crate) command: Command,
    pub(crate) terms: Terms,
}

/// Makes the operation durable, then answers 202 with an empty body.
pub(crate) async fn accept(doors: &Doors, submission: Submission) -> Result<HttpResponse, Problem> {
    let Submission { identity, .. } = &submission;
    let operation = operation(&submission)?;
    identity
        .refuse_reuse(doors.log.as_ref(), &operation)
        .await?;
    let operation_id = operation.operation_id;
    if let Err(error) = doors.scheduler.schedule(&operation).await {
        tracing::warn!(%operation_id, "answering 503, not confirmed as durable: {error}");
        return Err(Problem::unavailable(
            "the request could not be confirmed as durable; send it again, with the same \
             Idempotency-Key if it must not be carried out twice",
        ));
    }
    let order_id = &operation.entity_id;
    tracing::debug!(%operation_id, order_id, "accepted");
    Ok(HttpResponse::Accepted()
        .insert_header((LOCATION, submission.location))
        .insert_header((
            HeaderName::from_static("operation-location"),
            format!("/operation/{operation_id}"),
        ))
        .finish())
}

fn operation(submission: &Submission) -> Result<Operation, Problem> {
    let Submission {
        identity,
        command,
        terms,
        ..
    } = submission;
    let payload = to_json(command).map_err(|error| {
        tracing::error!("a command cannot be written as JSON: {error}");
        Problem::internal()
    })?;
    let entity_id = submission.order_id.clone();
    let verb = command.verb();
    Ok(Operation {
        operation_id: identity.operation_id,
        service_name: Orders::NAME.to_owned(),
        operation: verb,
        fingerprint: Operation::content_fingerprint(verb, &entity_id, &payload, terms),
        entity_id,
        payload,
        schema_version: Orders::SCHEMA_VERSION,
        correlation_id: identity.operation_id,
        terms: terms.clone(),
        causation_id: None,
        conflicts_with: None,
        accepted_at: Timestamp::now(),
    })
}
