//! Replay of all events of an entity, with the change that each of them made.

use std::collections::HashMap;

use crate::ports::StoreError;
use crate::stages::step::{ExecutionContext, Outcome, execute_entry};
use crate::{Domain, Entity, EntryStatus, LogEntry, Position};

/// Entity after all of its events.
pub(super) struct Folded<S> {
    /// The entity; `None` if no event has created it.
    pub(super) entity: Option<Entity<S>>,
    /// Name of the change of each executed event, by position. Resolutions have none: the change
    /// is that of the entry they resolve.
    pub(super) changes: HashMap<Position, &'static str>,
}

/// Replays the events of an entity. `events` must be its complete history.
///
/// # Errors
/// [`StoreError::Corrupt`] if the log contradicts itself.
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
        let is_resolved = |one: &&LogEntry| {
            one.resolved_by == Some(event.position) && one.status == EntryStatus::Executed
        };
        for resolved in events.iter().filter(is_resolved) {
            fold::<D>(&mut folded, resolved, context)?;
        }
    }
    Ok(folded)
}

fn fold<D: Domain>(
    folded: &mut Folded<D::State>,
    event: &LogEntry,
    context: ExecutionContext,
) -> Result<(), StoreError> {
    match execute_entry::<D>(&mut folded.entity, event, context)? {
        Outcome::Executed(change) => {
            folded.changes.insert(event.position, change);
            Ok(())
        }
        Outcome::Rejected(rejection) => Err(StoreError::Corrupt(rejection.reason)),
        Outcome::Parked(reason) => Err(StoreError::Corrupt(reason)),
    }
}
