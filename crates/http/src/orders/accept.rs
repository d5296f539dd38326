//! Accepting an operation: its way into the schedule queue, and the 202.

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderName, LOCATION};
use bakehouse_orders::{Command, Orders};
use bakehouse_pipeline::{Domain, Json, Operation, Remedy, Terms, Timestamp, Verb, to_json};
use serde::Serialize;

use super::key::Identity;
use crate::problem::Problem;
use crate::server::Doors;

/// An operation that may be accepted.
pub(crate) struct Submission {
    identity: Identity,
    order_id: String,
    /// Where what it makes or changes can be read.
    location: String,
    verb: Verb,
    payload: Json,
    schema_version: u32,
    terms: Terms,
}

impl Submission {
    /// Of a command to an order, which makes or changes what is at `location`.
    pub(crate) fn of_command(
        identity: Identity,
        order_id: &str,
        location: String,
        command: &Command,
        terms: Terms,
    ) -> Result<Self, Problem> {
        Ok(Self {
            identity,
            order_id: order_id.to_owned(),
            location,
            verb: command.verb(),
            payload: payload(command)?,
            schema_version: Orders::SCHEMA_VERSION,
            terms,
        })
    }

    /// Of what an operator does about what is parked of an order.
    pub(crate) fn of_remedy(
        identity: Identity,
        order_id: &str,
        verb: Verb,
        remedy: &Remedy,
        terms: Terms,
    ) -> Result<Self, Problem> {
        Ok(Self {
            identity,
            order_id: order_id.to_owned(),
            location: format!("/order/{order_id}"),
            verb,
            payload: payload(remedy)?,
            schema_version: Remedy::SCHEMA_VERSION,
            terms,
        })
    }

    fn operation(&self) -> Operation {
        let (verb, entity_id) = (self.verb, &self.order_id);
        let Self { payload, terms, .. } = self;
        Operation {
            operation_id: self.identity.operation_id,
            service_name: Orders::NAME.to_owned(),
            operation: verb,
            fingerprint: Operation::content_fingerprint(verb, entity_id, payload, terms),
            entity_id: entity_id.clone(),
            payload: payload.clone(),
            schema_version: self.schema_version,
            correlation_id: self.identity.operation_id,
            terms: terms.clone(),
            causation_id: None,
            conflicts_with: None,
            accepted_at: Timestamp::now(),
        }
    }
}

fn payload(of: &impl Serialize) -> Result<Json, Problem> {
    to_json(of).map_err(|error| {
        tracing::error!("a command cannot be written as JSON: {error}");
        Problem::internal()
    })
}

/// Makes the operation durable, then answers 202 with an empty body.
pub(crate) async fn accept(doors: &Doors, submission: Submission) -> Result<HttpResponse, Problem> {
    let Submission { identity, .. } = &submission;
    let operation = submission.operation();
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
