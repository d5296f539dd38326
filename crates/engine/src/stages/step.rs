//! Execution of one operation on one entity. Pure; panics of the domain's code and invalid payloads
//! lead to a parked operation.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::ports::StoreError;
use crate::{Domain, Entity, EntryStatus, LogEntry, Moment, Operation, Rejection, Terms, to_json};

/// Reason of the rejection of a reused idempotency key.
const KEY_REUSED_REASON: &str = "the idempotency key was used before with other content";

/// Outcome of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The entity has changed. Holds the name of the change.
    Executed(&'static str),
    /// The domain rejects the operation.
    Rejected(Rejection),
    /// The operation can be neither executed nor rejected, for this reason. Nothing has changed.
    Parked(String),
}

/// Position, time and entity number with which an operation takes effect.
#[derive(Clone, Copy)]
pub(crate) struct ExecutionContext {
    /// Position and time of the operation, or of the resolution that retries it.
    pub(crate) moment: Moment,
    /// Number of the entity if this is its first operation.
    pub(crate) number: u64,
}

enum StepError {
    Rejection(Rejection),
    Parked(String),
}

impl From<Rejection> for StepError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejection(rejection)
    }
}

/// Executes one log entry on its entity.
///
/// A verdict that is already in the log is kept: a rejected operation stays rejected even if the
/// domain's rules have changed.
///
/// # Errors
/// [`StoreError::Corrupt`] when an entry that is marked as executed cannot be executed.
pub(crate) fn execute_entry<D: Domain>(
    entity: &mut Option<Entity<D::State>>,
    entry: &LogEntry,
    context: ExecutionContext,
) -> Result<Outcome, StoreError> {
    if entry.status == EntryStatus::Rejected {
        return Ok(Outcome::Rejected(entry.rejection()));
    }
    let is_pending = entry.status != EntryStatus::Executed;
    let attempt = || {
        let (after, change) = step::<D>(entity.as_ref(), entry, context)?;
        if is_pending {
            // An entity without a document would block data-baker.
            to_json(&D::bake(&after)).map_err(|error| StepError::Parked(error.to_string()))?;
        }
        Ok((after, change))
    };
    // The entity is replaced only after a complete attempt: a panic leaves it unchanged.
    let result = catch_unwind(AssertUnwindSafe(attempt));
    let outcome = match result {
        Ok(Ok((after, change))) => {
            *entity = Some(after);
            return Ok(Outcome::Executed(change));
        }
        Ok(Err(StepError::Rejection(rejection))) => Outcome::Rejected(rejection),
        Ok(Err(StepError::Parked(reason))) => Outcome::Parked(reason),
        Err(panic) => Outcome::Parked(format!("execution failed: {}", message(&*panic))),
    };
    if is_pending {
        return Ok(outcome);
    }
    let reason = match outcome {
        Outcome::Executed(change) => change.to_owned(),
        Outcome::Rejected(rejection) => rejection.reason,
        Outcome::Parked(reason) => reason,
    };
    Err(StoreError::Corrupt(format!(
        "position {}: executed before, but cannot be executed now: {reason}",
        entry.position
    )))
}

/// Returns the message of a caught panic.
pub(crate) fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message")
}

/// Returns the entity after the operation, and the name of the change.
fn step<D: Domain>(
    before: Option<&Entity<D::State>>,
    entry: &LogEntry,
    context: ExecutionContext,
) -> Result<(Entity<D::State>, &'static str), StepError> {
    let command = command::<D>(entry)?;
    check_terms::<D>(before, &entry.operation.terms)?;
    let ExecutionContext { moment, number } = context;
    let event = D::decide(before.map(|entity| &entity.state), command, moment)?;
    let change = D::change(&event);
    let (number, version, created_at) = match before {
        Some(entity) => (entity.number, entity.version, entity.created_at),
        None => (number, 0, moment.at),
    };
    let owner = match before {
        Some(entity) => entity.owner.clone(),
        None => entry.operation.terms.owner.clone(),
    };
    let after = Entity {
        id: entry.entity_id().to_owned(),
        owner,
        number,
        position: moment.position,
        version: version + 1,
        created_at,
        updated_at: moment.at,
        state: D::apply(before.map(|entity| entity.state.clone()), event, moment),
    };
    Ok((after, change))
}

/// Checks the conditions of an operation against the current entity. An entity of another owner is
/// treated as missing.
fn check_terms<D: Domain>(
    entity: Option<&Entity<D::State>>,
    terms: &Terms,
) -> Result<(), Rejection> {
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
        .with_code(Rejection::VERSION_CONFLICT)),
        _ => Ok(()),
    }
}

/// Reads the command of a log entry. An unknown command is parked, because a newer program may
/// support it.
fn command<D: Domain>(entry: &LogEntry) -> Result<D::Command, StepError> {
    let operation = &entry.operation;
    if operation.conflicts_with.is_some() {
        return Err(Rejection::new(KEY_REUSED_REASON)
            .with_code(Rejection::KEY_REUSED)
            .into());
    }
    if operation.service_name != D::NAME {
        let other = &operation.service_name;
        return Err(StepError::Parked(format!("unknown service: {other}")));
    }
    read_command::<D>(operation).map_err(StepError::Parked)
}

/// Reads the command of an operation, whichever schema version wrote it.
///
/// # Errors
/// The reason why the payload cannot be read. A newer program may be able to read it.
pub fn read_command<D: Domain>(operation: &Operation) -> Result<D::Command, String> {
    let (found, known) = (operation.schema_version, D::SCHEMA_VERSION);
    if found > known {
        return Err(format!(
            "payload version {found} not supported; this program supports versions up to {known}"
        ));
    }
    let payload = operation.payload.get();
    let command = match found {
        found if found < known => D::upcast(found, payload),
        _ => serde_json::from_str(payload),
    };
    command.map_err(|error| format!("payload invalid: {error}"))
}
