//! Folding all events of an entity, and what each of them changed.

use std::collections::HashMap;

use crate::ports::StoreError;
use crate::stages::step::{ExecutionContext, Outcome, replay};
use crate::{Domain, Entity, EntryStatus, LogEntry, Position};

/// An entity after all of its events.
pub(super) struct Folded<S> {
    /// The entity; `None`: none of them has brought it into being.
    pub(super) entity: Option<Entity<S>>,
    /// Word for what each executed event changed, by its position; none for remedies, which
    /// change what they settle.
    pub(super) changes: HashMap<Position, &'static str>,
}

/// Folds all events of an entity, which are all of its own from the first one on.
///
/// # Errors
/// [`StoreError::Corrupt`] when the log contradicts itself.
pub(super) fn fold_all<D: Domain>(
    events: &[LogEntry],
    number: u64,
) -> Result<Folded<D::State>, StoreError> {
    let mut folded = Folded {
        entity: None,
        changes: HashMap::new(),
    };
    for event in events.iter().filter(|event| event.is_executed_in_place()) {
        let context = ExecutionContext {
            moment: event.moment(),
            number,
        };
        if !event.operation.operation.is_resolution() {
            fold::<D>(&mut folded, event, context)?;
            continue;
        }
        let is_settled = |one: &&LogEntry| {
            one.settled_by == Some(event.position) && one.status == EntryStatus::Executed
        };
        for settled in events.iter().filter(is_settled) {
            fold::<D>(&mut folded, settled, context)?;
        }
    }
    Ok(folded)
}

fn fold<D: Domain>(
    folded: &mut Folded<D::State>,
    event: &LogEntry,
    context: ExecutionContext,
) -> Result<(), StoreError> {
    match replay::<D>(&mut folded.entity, event, context)? {
        Outcome::Executed(change) => {
            folded.changes.insert(event.position, change);
            Ok(())
        }
        Outcome::Rejected(rejection) => Err(StoreError::Corrupt(rejection.reason)),
        Outcome::Parked(reason) => Err(StoreError::Corrupt(reason)),
    }
}
