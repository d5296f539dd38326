//! Acceptance of an operation: publication to the schedule queue, and the 202.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
use bakehouse_engine::fault_injection::failpoint;
use bakehouse_engine::ports::ScheduleError;
use bakehouse_engine::{
    Domain, Json, LogEntry, Operation, Resolution, Terms, Timestamp, Verb, to_json,
};
use serde::Serialize;
use uuid::Uuid;

use super::Identity;
use super::expected_version::expected;
use crate::api_definition::ApiDefinition;
use crate::auth::Principal;
use crate::request::conditional::{Conditions, Current};
use crate::response::problem::Problem;
use crate::state::AppState;

/// Operation to be accepted, with its conditions.
pub struct Submission {
    identity: Identity,
    service_name: &'static str,
    entity_id: String,
    /// Path of the resource that the operation creates or changes.
    location: String,
    verb: Verb,
    payload: Json,
    schema_version: u32,
    terms: Terms,
    /// Conditions that have yet to be evaluated against the entity.
    conditions: Conditions,
    /// True if the operation creates the resource at `location`.
    creates: bool,
}

impl Submission {
    /// Builds the submission of a command to an entity, with the given terms. `location` is the
    /// path of the resource that the command creates or changes.
    ///
    /// # Errors
    /// 500 if the command cannot be serialized.
    pub fn of_command<D: Domain>(
        identity: Identity,
        entity_id: &str,
        location: String,
        command: &D::Command,
        terms: Terms,
    ) -> Result<Self, Problem> {
        Ok(Self {
            identity,
            service_name: D::NAME,
            entity_id: entity_id.to_owned(),
            location,
            verb: D::verb(command),
            payload: payload(command)?,
            schema_version: D::version_of(command),
            terms,
            conditions: Conditions::default(),
            creates: false,
        })
    }

    /// Marks the submission as one that creates the resource at its location: the response to a
    /// client that waits is then 201 instead of 200.
    #[must_use]
    pub fn creates(self) -> Self {
        Self {
            creates: true,
            ..self
        }
    }

    /// Returns the status of the response once the operation is executed.
    pub(super) fn success(&self) -> StatusCode {
        match self.creates {
            true => StatusCode::CREATED,
            false => StatusCode::OK,
        }
    }

    /// Builds the submission of a command that creates an entity, which gets a new id and is owned
    /// by the principal.
    ///
    /// # Errors
    /// 400 if the idempotency key or a condition is malformed; 412 if a condition requires an
    /// existing entity.
    pub fn of_new<D: Domain>(
        request: &HttpRequest,
        principal: &Principal,
        state: &AppState,
        command: &D::Command,
    ) -> Result<Self, Problem> {
        let identity = Identity::of(request, principal)?;
        Self::of_new_as::<D>(request, identity, principal, state, command)
    }

    /// Builds the submission under a given identity; otherwise like [`Submission::of_new`].
    ///
    /// # Errors
    /// Those of [`Submission::of_new`].
    pub fn of_new_as<D: Domain>(
        request: &HttpRequest,
        identity: Identity,
        principal: &Principal,
        state: &AppState,
        command: &D::Command,
    ) -> Result<Self, Problem> {
        Conditions::of(request)?.resolve(Current::Absent)?;
        let id = identity.new_id.to_string();
        let location = (state.api.location)(&id);
        let terms = principal.terms_of_creation();
        let submission = Self::of_command::<D>(identity, &id, location, command, terms)?;
        Ok(submission.creates())
    }

    /// Builds the submission of a command to an entity without checking that it exists: if it does
    /// not, the domain refuses the operation. [`super::Change`] checks first.
    ///
    /// # Errors
    /// 400 if the idempotency key or a condition is malformed.
    pub fn of_change<D: Domain>(
        request: &HttpRequest,
        principal: &Principal,
        state: &AppState,
        id: &str,
        command: &D::Command,
    ) -> Result<Self, Problem> {
        let identity = Identity::of(request, principal)?;
        let conditions = Conditions::of(request)?;
        let terms = principal.terms_of_change(None);
        let location = (state.api.location)(id);
        let submission = Self::of_command::<D>(identity, id, location, command, terms)?;
        Ok(Self {
            conditions,
            ..submission
        })
    }

    /// Evaluates the conditions and sets the version that the operation must be executed on. Reads
    /// the entity only if the conditions depend on it.
    async fn resolve_conditions(&mut self, state: &AppState) -> Result<(), Problem> {
        let conditions = std::mem::take(&mut self.conditions);
        if conditions == Conditions::default() {
            return Ok(());
        }
        let mut current = Current::Unknown;
        if conditions.need_current_version() {
            let document = state.presentation.document(&self.entity_id).await?;
            let owner = self.terms.owner.as_deref();
            // The version of another owner's entity is not disclosed: the operation is refused
            // at execution, as if there were no entity.
            let is_visible = |known: Option<&str>| owner.is_none() || owner == known;
            match document {
                Some(document) if is_visible(document.owner.as_deref()) => {
                    current = Current::Version(document.version);
                }
                _ => return Ok(()),
            }
        }
        let expected = expected(&conditions, current, &self.identity, state).await?;
        self.terms.expected_version = expected;
        Ok(())
    }

    /// Returns the fingerprint of the operation's content.
    fn fingerprint(&self) -> String {
        let (payload, terms) = (&self.payload, &self.terms);
        let content = Operation::content_fingerprint(self.verb, &self.entity_id, payload, terms);
        self.identity.fingerprint(content)
    }

    /// Id of the entity that the operation is for.
    #[must_use]
    pub fn entity_id(&self) -> &str {
        &self.entity_id
    }

    /// Builds the submission of an operator's resolution of an entity's parked operations.
    pub(crate) fn of_resolution(
        identity: Identity,
        entity_id: &str,
        api: &ApiDefinition,
        (verb, resolution): (Verb, &Resolution),
        terms: Terms,
    ) -> Result<Self, Problem> {
        Ok(Self {
            identity,
            service_name: api.entity,
            entity_id: entity_id.to_owned(),
            location: (api.location)(entity_id),
            verb,
            payload: payload(resolution)?,
            schema_version: Resolution::SCHEMA_VERSION,
            terms,
            conditions: Conditions::default(),
            creates: false,
        })
    }

    fn operation(&self) -> Operation {
        let Self {
            entity_id,
            payload,
            terms,
            ..
        } = self;
        Operation {
            operation_id: self.identity.operation_id,
            service_name: self.service_name.to_owned(),
            operation: self.verb,
            fingerprint: self.fingerprint(),
            entity_id: entity_id.clone(),
            payload: payload.clone(),
            schema_version: self.schema_version,
            correlation_id: self.identity.correlation_id,
            terms: terms.clone(),
            causation_id: None,
            conflicts_with: None,
            accepted_at: Timestamp::now(),
        }
    }
}

fn payload(command: &impl Serialize) -> Result<Json, Problem> {
    to_json(command).map_err(|error| {
        tracing::error!("cannot serialize a command to JSON: {error}");
        Problem::internal()
    })
}

/// Returns the 202 for a repeated request, and the log entry under its idempotency key. `None` if
/// the log has no operation under the key, if that operation is of another request, or if
/// [`Identity::by_request`] was not called.
///
/// # Errors
/// 409 if another request under the same key takes too long.
pub(super) async fn repeated(
    identity: &mut Identity,
    state: &AppState,
) -> Result<Option<(HttpResponse, LogEntry)>, Problem> {
    let Some(entry) = identity.repeated(state.log.as_ref()).await? else {
        return Ok(None);
    };
    let location = (state.api.location)(entry.entity_id());
    let location = HeaderValue::from_str(&location).map_err(|_| Problem::internal())?;
    Ok(Some((accepted(location, identity.operation_id), entry)))
}

/// Makes the operation durable, then responds with 202 and an empty body.
///
/// # Errors
/// 409 if another request under the same idempotency key takes too long; 412 if a condition
/// does not hold; 422 if the key was used before with other content; 429 if too many
/// changes of the entity by the same principal have been refused; 503 if the operation is not
/// confirmed as durable; 500 if it was executed in a single transaction that was rolled back.
pub async fn accept(state: &AppState, submission: Submission) -> Result<HttpResponse, Problem> {
    Ok(submit(state, submission).await?.0)
}

/// Accepts a submission; returns the 202 and the operation.
pub(super) async fn submit(
    state: &AppState,
    mut submission: Submission,
) -> Result<(HttpResponse, Operation), Problem> {
    submission.identity.lock_key().await?;
    submission.resolve_conditions(state).await?;
    // Before anything is durable: an operation without a valid response is not accepted.
    let location =
        HeaderValue::from_str(&submission.location).map_err(|_| invalid_id(&submission))?;
    let operation = submission.operation();
    let identity = &mut submission.identity;
    let operation_id = operation.operation_id;
    if identity
        .refuse_reuse(state.log.as_ref(), &operation)
        .await?
    {
        // The log has the operation already.
        return Ok((accepted(location, operation_id), operation));
    }
    failpoint("api-server.received");
    let entity_id = &operation.entity_id;
    let is_change = operation.operation != Verb::Insert;
    if is_change {
        state.limits.refusals.check(&operation.terms, entity_id)?;
    }
    let scheduled = state.scheduler.schedule(&operation).await;
    failpoint("api-server.scheduled");
    scheduled.map_err(|error| not_scheduled(operation_id, &error))?;
    identity.accepted(&operation);
    if is_change {
        let refusals = &state.limits.refusals;
        refusals.accepted(operation_id, &operation.terms, entity_id);
    }
    tracing::debug!(%operation_id, entity_id, "accepted");
    let answer = accepted(location, operation_id);
    Ok((answer, operation))
}

fn accepted(location: HeaderValue, operation_id: Uuid) -> HttpResponse {
    HttpResponse::Accepted()
        .insert_header((LOCATION, location))
        .insert_header((
            HeaderName::from_static("operation-location"),
            format!("/operation/{operation_id}"),
        ))
        .finish()
}

fn not_scheduled(operation_id: Uuid, error: &ScheduleError) -> Problem {
    match error {
        ScheduleError::Unconfirmed(why) => {
            tracing::warn!(%operation_id, "answering 503, not confirmed as durable: {why}");
            Problem::unavailable(
                "the request could not be confirmed as durable; send it again, with the same \
                 Idempotency-Key if it must not be carried out twice",
            )
        }
        ScheduleError::Undone(why) => {
            tracing::error!(%operation_id, "answering 500, the transaction was rolled back: {why}");
            Problem::undone()
        }
    }
}

fn invalid_id(submission: &Submission) -> Problem {
    let Submission {
        service_name,
        entity_id,
        ..
    } = submission;
    Problem::not_found(format!("{entity_id:?} is not a valid {service_name} id"))
}

/// Replaces a response's body by `{"id":"…"}`.
#[must_use]
pub fn with_id(answer: HttpResponse, id: &str) -> HttpResponse {
    let body = serde_json::json!({ "id": id }).to_string();
    let mut answer = answer.set_body(BoxBody::new(body));
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}
