//! Execution of all log entries of an entity once more, with the change that each of them made.

use std::collections::HashMap;

use crate::ports::StoreError;
use crate::stages::step::{ExecutionContext, Outcome, execute_entry};
use crate::{Domain, Entity, EntryStatus, LogEntry, Position};

/// Entity after all of its log entries.
pub(super) struct Folded<S> {
    /// The entity; `None` if no entry has created it.
    pub(super) entity: Option<Entity<S>>,
    /// Name of the change of each executed entry, by position. Resolutions have none: the change
    /// is that of the entry they resolve.
    pub(super) changes: HashMap<Position, &'static str>,
}

/// Executes the log entries of an entity again. `entries` must be its complete history.
///
/// # Errors
/// [`StoreError::Corrupt`] if the log contradicts itself.
pub(super) fn fold_all<D: Domain>(
    entries: &[LogEntry],
    number: u64,
) -> Result<Folded<D::State>, StoreError> {
    let mut folded = Folded {
        entity: None,
        changes: HashMap::new(),
    };
    for entry in entries.iter().filter(|entry| entry.is_executed_in_place()) {
        let context = ExecutionContext {
            moment: entry.moment(),
            number,
        };
        if !entry.operation.operation.is_resolution() {
            fold::<D>(&mut folded, entry, context)?;
            continue;
        }
        let is_resolved = |one: &&LogEntry| {
            one.resolved_by == Some(entry.position) && one.status == EntryStatus::Executed
        };
        for resolved in entries.iter().filter(is_resolved) {
            fold::<D>(&mut folded, resolved, context)?;
        }
    }
    Ok(folded)
}

fn fold<D: Domain>(
    folded: &mut Folded<D::State>,
    entry: &LogEntry,
    context: ExecutionContext,
) -> Result<(), StoreError> {
    match execute_entry::<D>(&mut folded.entity, entry, context)? {
        Outcome::Executed(change) => {
            folded.changes.insert(entry.position, change);
            Ok(())
        }
        Outcome::Rejected(rejection) => Err(StoreError::Corrupt(rejection.reason)),
        Outcome::Parked(reason) => Err(StoreError::Corrupt(reason)),
    }
}
