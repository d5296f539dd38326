//! One operation on one entity: pure, and safe from whatever the domain's code
//! or an unforeseen payload may do.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::ports::StoreError;
use crate::{Domain, Entity, EntryStatus, LogEntry, Moment, Operation, Rejection, Terms, to_json};

/// Why an event with a reused idempotency key is refused.
const CONFLICT: &str = "the idempotency key was used before with other content";

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The entity is another now; what changed, in a word.
    Executed(&'static str),
    /// The domain refuses it.
    Rejected(Rejection),
    /// It can be neither executed nor refused. Nothing has changed.
    Stuck(String),
}

/// Where and as what an operation takes effect.
#[derive(Clone, Copy)]
pub(crate) struct ExecutionContext {
    /// Its own place in the log, or that of the remedy that settles it.
    pub(crate) moment: Moment,
    /// The number that the entity gets if this is its first operation.
    pub(crate) number: u64,
}

enum StepError {
    Rejection(Rejection),
    Stuck(String),
}

impl From<Rejection> for StepError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejection(rejection)
    }
}

/// Carries out one event on its entity.
///
/// A verdict that the log already has is kept to: what it refused stays
/// refused, whatever the domain's rules say today.
///
/// # Errors
/// [`StoreError::Corrupt`] when what the log has as executed cannot be now.
pub(crate) fn replay<D: Domain>(
    entity: &mut Option<Entity<D::State>>,
    event: &LogEntry,
    context: ExecutionContext,
) -> Result<Outcome, StoreError> {
    if event.status == EntryStatus::Rejected {
        return Ok(Outcome::Rejected(event.rejection()));
    }
    let is_fresh = event.status != EntryStatus::Executed;
    let attempt = || {
        let (after, change) = step::<D>(entity.as_ref(), event, context)?;
        if is_fresh {
            // What cannot be shown is not executed: it would hold up data-baker.
            to_json(&D::bake(&after)).map_err(|error| StepError::Stuck(error.to_string()))?;
        }
        Ok((after, change))
    };
    // Nothing is changed before it has come back, so that nothing is half done.
    let attempted = catch_unwind(AssertUnwindSafe(attempt));
    let outcome = match attempted {
        Ok(Ok((after, change))) => {
            *entity = Some(after);
            return Ok(Outcome::Executed(change));
        }
        Ok(Err(StepError::Rejection(rejection))) => Outcome::Rejected(rejection),
        Ok(Err(StepError::Stuck(reason))) => Outcome::Stuck(reason),
        Err(panic) => Outcome::Stuck(format!("its execution failed: {}", message(&*panic))),
    };
    if is_fresh {
        return Ok(outcome);
    }
    let why = match outcome {
        Outcome::Executed(change) => change.to_owned(),
        Outcome::Rejected(rejection) => rejection.reason,
        Outcome::Stuck(reason) => reason,
    };
    Err(StoreError::Corrupt(format!(
        "position {} was executed once and cannot be now: {why}",
        event.position
    )))
}

pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message")
}

/// The entity after the operation, and what changed.
fn step<D: Domain>(
    before: Option<&Entity<D::State>>,
    event: &LogEntry,
    context: ExecutionContext,
) -> Result<(Entity<D::State>, &'static str), StepError> {
    let command = command::<D>(event)?;
    admit::<D>(before, &event.operation.terms)?;
    let ExecutionContext { moment, number } = context;
    let fact = D::decide(before.map(|entity| &entity.state), command, moment)?;
    let change = D::change(&fact);
    let (number, version, created_at) = match before {
        Some(entity) => (entity.number, entity.version, entity.created_at),
        None => (number, 0, moment.at),
    };
    let owner = match before {
        Some(entity) => entity.owner.clone(),
        None => event.operation.terms.owner.clone(),
    };
    let after = Entity {
        id: event.entity_id().to_owned(),
        owner,
        number,
        position: moment.position,
        version: version + 1,
        created_at,
        updated_at: moment.at,
        state: D::apply(before.map(|entity| entity.state.clone()), fact, moment),
    };
    Ok((after, change))
}

/// Whether the operation may be executed on the entity as it is now. To anybody
/// but its owner an entity does not exist.
fn admit<D: Domain>(entity: Option<&Entity<D::State>>, terms: &Terms) -> Result<(), Rejection> {
    let missing = || Rejection::new(format!("there is no such {}", D::NAME));
    let Some(entity) = entity else {
        return terms.expected_version.map_or(Ok(()), |_| Err(missing()));
    };
    if terms.owner.is_some() && terms.owner != entity.owner {
        return Err(missing());
    }
    match terms.expected_version {
        Some(expected) if expected != entity.version => Err(Rejection::new(format!(
            "the {} is at version {}, not {expected}",
            D::NAME,
            entity.version
        ))
        .of_kind(Rejection::VERSION)),
        _ => Ok(()),
    }
}

/// What is to be done; stuck where a newer program may know.
fn command<D: Domain>(event: &LogEntry) -> Result<D::Command, StepError> {
    let operation = &event.operation;
    if operation.conflicts_with.is_some() {
        return Err(Rejection::new(CONFLICT).of_kind(Rejection::KEY).into());
    }
    if operation.service_name != D::NAME {
        let other = &operation.service_name;
        return Err(StepError::Stuck(format!(
            "no operation of service {other:?} is known here"
        )));
    }
    read_command::<D>(operation).map_err(StepError::Stuck)
}

/// The command that an operation is, whichever version wrote it.
///
/// # Errors
/// Why it cannot be read: a newer program may be able to.
pub fn read_command<D: Domain>(operation: &Operation) -> Result<D::Command, String> {
    let (found, known) = (operation.schema_version, D::SCHEMA_VERSION);
    if found > known {
        return Err(format!(
            "its payload is of version {found}; this program knows versions up to {known}"
        ));
    }
    let payload = operation.payload.get();
    let command = match found {
        found if found < known => D::upcast(found, payload),
        _ => serde_json::from_str(payload),
    };
    command.map_err(|error| format!("its payload cannot be read: {error}"))
}
