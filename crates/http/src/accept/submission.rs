//! Accepting an operation: its way into the schedule queue, and the 202.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
use bakehouse_engine::fault_injection::point;
use bakehouse_engine::ports::ScheduleError;
use bakehouse_engine::{
    Domain, Json, LogEntry, Operation, Resolution, Terms, Timestamp, Verb, to_json,
};
use serde::Serialize;
use uuid::Uuid;

use super::Identity;
use super::change::expected;
use crate::api_definition::ApiDefinition;
use crate::auth::Principal;
use crate::request::conditional::{Conditions, Current};
use crate::response::problem::Problem;
use crate::state::AppState;

/// An operation that may be accepted.
pub struct Submission {
    identity: Identity,
    service_name: &'static str,
    entity_id: String,
    /// Where what it makes or changes can be read.
    location: String,
    verb: Verb,
    payload: Json,
    schema_version: u32,
    terms: Terms,
    /// Conditions that have yet to be held against what is there.
    conditions: Conditions,
    /// True if what is at `location` is made by this.
    creates: bool,
}

impl Submission {
    /// Of a command to the entity of this id, on these terms; what it makes or
    /// changes is at `location`.
    ///
    /// # Errors
    /// 500 when the command has no JSON form.
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

    /// Marks the submission as one that makes what is at its location, which a client that waits
    /// is told by 201 instead of 200.
    #[must_use]
    pub fn creates(self) -> Self {
        Self {
            creates: true,
            ..self
        }
    }

    /// Status of the answer once it has been carried out.
    pub(super) fn success(&self) -> StatusCode {
        match self.creates {
            true => StatusCode::CREATED,
            false => StatusCode::OK,
        }
    }

    /// Of a command that makes an entity, with an id of its own, which becomes the
    /// principal's.
    ///
    /// # Errors
    /// 400 for an idempotency key or a condition that is none; 412 for a condition that what
    /// does not exist yet cannot meet.
    pub fn of_new<D: Domain>(
        request: &HttpRequest,
        principal: &Principal,
        state: &AppState,
        command: &D::Command,
    ) -> Result<Self, Problem> {
        let identity = Identity::of(request, principal)?;
        Self::of_new_as::<D>(request, identity, principal, state, command)
    }

    /// Builds the submission of an operation whose identity the caller has.
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

    /// Of a command to an entity, whether there is one or not: where there is none,
    /// the domain refuses it. [`super::Change`] looks first.
    ///
    /// # Errors
    /// 400 for an idempotency key or a condition that is none.
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

    /// Settles which version the change has to be carried out on. Looks at what is there only
    /// where the conditions take that.
    async fn settle_conditions(&mut self, state: &AppState) -> Result<(), Problem> {
        let conditions = std::mem::take(&mut self.conditions);
        if conditions == Conditions::default() {
            return Ok(());
        }
        let mut current = Current::Unknown;
        if conditions.need_a_look() {
            let document = state.presentation.document(&self.entity_id).await?;
            let owner = self.terms.owner.as_deref();
            // Of what is another owner's not even the version is told: it is refused at
            // execution like what does not exist.
            let is_seen = |known: Option<&str>| owner.is_none() || owner == known;
            match document {
                Some(document) if is_seen(document.owner.as_deref()) => {
                    current = Current::Version(document.version);
                }
                _ => return Ok(()),
            }
        }
        let expected = expected(&conditions, current, &self.identity, state).await?;
        self.terms.expected_version = expected;
        Ok(())
    }

    /// Fingerprint of what it says.
    fn fingerprint(&self) -> String {
        let (payload, terms) = (&self.payload, &self.terms);
        let content = Operation::content_fingerprint(self.verb, &self.entity_id, payload, terms);
        self.identity.fingerprint(content)
    }

    /// Whom it concerns.
    #[must_use]
    pub fn entity_id(&self) -> &str {
        &self.entity_id
    }

    /// Of what an operator does about what is parked of an entity.
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

fn payload(of: &impl Serialize) -> Result<Json, Problem> {
    to_json(of).map_err(|error| {
        tracing::error!("a command cannot be written as JSON: {error}");
        Problem::internal()
    })
}

/// The answer to a request that the log has under its idempotency key, and its event. `None`: it
/// has none, or of another request; or the request was not given ([`Identity::by_request`]).
///
/// # Errors
/// 409 when another request under the same key takes too long.
pub(super) async fn repeated(
    identity: &mut Identity,
    state: &AppState,
) -> Result<Option<(HttpResponse, LogEntry)>, Problem> {
    let Some(event) = identity.repeated(state.log.as_ref()).await? else {
        return Ok(None);
    };
    let location = (state.api.location)(event.entity_id());
    let location = HeaderValue::from_str(&location).map_err(|_| Problem::internal())?;
    Ok(Some((accepted(location, identity.operation_id), event)))
}

/// Makes the operation durable, then answers 202 with an empty body.
///
/// # Errors
/// 409 when another request under the same idempotency key takes too long; 412 when a condition
/// does not hold; 422 when its key was used before with other content; 429 when too many
/// changes of the entity by the same principal have been refused; 503 when it
/// is not confirmed as durable; 500 when all that it leads to was to be done at once,
/// and failed.
pub async fn accept(state: &AppState, submission: Submission) -> Result<HttpResponse, Problem> {
    Ok(submit(state, submission).await?.0)
}

/// Accepts a submission: the answer, and the operation that it is for.
pub(super) async fn submit(
    state: &AppState,
    mut submission: Submission,
) -> Result<(HttpResponse, Operation), Problem> {
    submission.identity.begin().await?;
    submission.settle_conditions(state).await?;
    // Before anything is durable: what could not be answered is not accepted.
    let location = HeaderValue::from_str(&submission.location).map_err(|_| no_id(&submission))?;
    let operation = submission.operation();
    let identity = &mut submission.identity;
    let operation_id = operation.operation_id;
    if identity
        .refuse_reuse(state.log.as_ref(), &operation)
        .await?
    {
        // It is durable where it counts.
        return Ok((accepted(location, operation_id), operation));
    }
    point("api-server.received");
    let entity_id = &operation.entity_id;
    let is_change = operation.operation != Verb::Insert;
    if is_change {
        state.limits.refusals.check(&operation.terms, entity_id)?;
    }
    let scheduled = state.scheduler.schedule(&operation).await;
    point("api-server.scheduled");
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
            tracing::error!(%operation_id, "answering 500, all of it is undone: {why}");
            Problem::undone()
        }
    }
}

fn no_id(submission: &Submission) -> Problem {
    let Submission {
        service_name,
        entity_id,
        ..
    } = submission;
    Problem::not_found(format!("{entity_id:?} is no id of any {service_name}"))
}

/// The same answer with a body that names what it is about: `{"id":"…"}`.
#[must_use]
pub fn with_id(answer: HttpResponse, id: &str) -> HttpResponse {
    let body = serde_json::json!({ "id": id }).to_string();
    let mut answer = answer.set_body(BoxBody::new(body));
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}
