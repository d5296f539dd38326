//! events-writer: the schedule queue into the log.
//!
//! 1. take what has gathered in the queue;
//! 2. append it to the log: durable, at the next positions, each identity once;
//! 3. park durably what cannot be read;
//! 4. only then settle with the queue;
//! 5. tell orders-manager.
//!
//! Killed anywhere, it is given the same operations again, and the log's unique
//! index drops those that it has.

use std::sync::Arc;
use std::time::Instant;

use crate::backoff::Backoff;
use crate::fault_injection::{self, point};
use crate::ports::{
    Appended, DeadLetters, EventLog, Notice, Notices, ScheduleConsumer, ScheduledBatch, StoreError,
};
use crate::stages::runner::{count_error, count_outcomes, measure, note_error, note_success};
use crate::{Operation, Position, Shutdown};

const NAME: &str = "events-writer";

/// What events-writer stands between.
pub struct WriterDeps {
    /// Where accepted operations come from.
    pub queue: Box<dyn ScheduleConsumer>,
    /// Where they are stored.
    pub log: Arc<dyn EventLog>,
    /// Who is told.
    pub notices: Arc<dyn Notices>,
}

/// How events-writer works.
#[derive(Clone, Debug)]
pub struct WriterSettings {
    /// Operations a batch at most.
    pub max_batch: usize,
}

/// Runs until shutdown.
pub async fn run(deps: WriterDeps, settings: WriterSettings, shutdown: Shutdown) {
    let mut deps = fault_injection::writer(deps);
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        match turn(&mut deps, &settings, &shutdown).await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                tracing::warn!(stage = NAME, "waiting: {error}");
                backoff.wait(&shutdown).await;
            }
        }
    }
}

async fn turn(
    deps: &mut WriterDeps,
    settings: &WriterSettings,
    shutdown: &Shutdown,
) -> Result<(), StoreError> {
    let batch = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(()),
        batch = deps.queue.receive(settings.max_batch) => batch?,
    };
    let began = Instant::now();
    point("events-writer.received");
    let kept = keep(deps.log.as_ref(), deps.queue.as_mut(), &batch, shutdown);
    let Some(head) = kept.await else {
        return Ok(());
    };
    deps.queue.settle().await?;
    point("events-writer.settled");
    measure(NAME, batch.operations.len(), began);
    if let Some(head) = head {
        deps.notices.publish(Notice::Stored { head }).await;
        point("events-writer.told");
    }
    Ok(())
}

/// Stores and parks the batch, however long that takes: there is nothing better
/// to do with it, and the queue keeps it until it is settled. Says up to which
/// position the log has grown, if it has; `None` at shutdown.
pub(crate) async fn keep(
    log: &dyn EventLog,
    queue: &mut dyn ScheduleConsumer,
    batch: &ScheduledBatch,
    shutdown: &Shutdown,
) -> Option<Option<Position>> {
    let mut backoff = Backoff::default();
    loop {
        match try_keep(log, queue, batch).await {
            Ok(head) => {
                note_success(NAME);
                return Some(head);
            }
            Err(error) => {
                count_error(NAME);
                note_error(NAME, &error);
                tracing::warn!(stage = NAME, "cannot store yet, keeping the batch: {error}");
                backoff.wait(shutdown).await;
            }
        }
        if shutdown.is_cancelled() {
            return None;
        }
    }
}

async fn try_keep(
    log: &dyn EventLog,
    queue: &mut dyn ScheduleConsumer,
    batch: &ScheduledBatch,
) -> Result<Option<Position>, StoreError> {
    let answers = log.append(&batch.operations).await?;
    let head = store_conflicts(log, &batch.operations, &answers).await?;
    count_dead_letters(&batch.dead_letters, &answers);
    point("events-writer.appended");
    for message in &batch.unreadable {
        tracing::error!(stage = NAME, "parking a message: {}", message.reason);
        queue.park(message).await?;
        metrics::counter!("bakehouse_unreadable_messages_total").increment(1);
        point("events-writer.parked");
    }
    Ok(head)
}

/// Appends the operations; those whose identity was taken by other content are
/// appended under one of their own, so that their refusal can be seen.
pub(crate) async fn store(
    log: &dyn EventLog,
    operations: &[Operation],
) -> Result<Option<Position>, StoreError> {
    let answers = log.append(operations).await?;
    store_conflicts(log, operations, &answers).await
}

/// Summarises an append, and appends those whose identity was taken under one of their own.
async fn store_conflicts(
    log: &dyn EventLog,
    operations: &[Operation],
    answers: &[Appended],
) -> Result<Option<Position>, StoreError> {
    let conflicts: Vec<Operation> = operations
        .iter()
        .zip(answers)
        .filter(|(_, answer)| **answer == Appended::Conflict)
        .map(|(operation, _)| operation.clone().into_conflict())
        .collect();
    let mut head = summarise(operations, answers);
    if !conflicts.is_empty() {
        let answers = log.append(&conflicts).await?;
        head = head.max(summarise(&conflicts, &answers));
    }
    Ok(head)
}

/// Counts and reports the dead letters that the log did not have yet. Any others are repeats: of
/// the other copy of a dead letter, or of what was read when an earlier process started.
fn count_dead_letters(dead_letters: &DeadLetters, answers: &[Appended]) {
    let count = new_dead_letters(dead_letters, answers);
    if count > 0 {
        metrics::counter!("bakehouse_dead_letters_total").increment(count);
        let reason = &dead_letters.reason;
        tracing::warn!(
            stage = NAME,
            count,
            reason,
            "accepted operations had been removed from the schedule queue, and were stored as dead \
             letters; look for a policy on the queue"
        );
    }
}

fn new_dead_letters(dead_letters: &DeadLetters, answers: &[Appended]) -> u64 {
    let stored = dead_letters.indexes.iter().filter(|index| {
        let answer = answers.get(**index);
        matches!(answer, Some(Appended::Stored(_)))
    });
    stored.count() as u64
}

fn summarise(operations: &[Operation], answers: &[Appended]) -> Option<Position> {
    for (operation, answer) in operations.iter().zip(answers) {
        tracing::debug!(stage = NAME, operation_id = %operation.operation_id, "{answer:?}");
    }
    let count = |wanted: fn(&Appended) -> bool| answers.iter().filter(|a| wanted(a)).count();
    let stored = count(|answer| matches!(answer, Appended::Stored(_)));
    let duplicates = count(|answer| *answer == Appended::Duplicate);
    let conflicts = count(|answer| *answer == Appended::Conflict);
    count_outcomes(
        "bakehouse_operations_stored_total",
        [
            ("stored", stored),
            ("duplicate", duplicates),
            ("conflict", conflicts),
        ],
    );
    let head = answers.iter().rev().find_map(|answer| match answer {
        Appended::Stored(position) => Some(*position),
        Appended::Duplicate | Appended::Conflict => None,
    });
    if !operations.is_empty() {
        tracing::info!(
            stage = NAME,
            stored,
            duplicates,
            conflicts,
            head,
            "batch stored"
        );
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_that_the_log_has_are_not_counted_again() {
        let dead_letters = DeadLetters {
            indexes: vec![0, 2, 3],
            reason: "expired".into(),
        };
        let answers = [
            Appended::Stored(7),
            Appended::Stored(8),
            Appended::Duplicate,
            Appended::Stored(9),
        ];
        assert_eq!(new_dead_letters(&dead_letters, &answers), 2);
        let again = [Appended::Duplicate; 4];
        assert_eq!(new_dead_letters(&dead_letters, &again), 0);
        assert_eq!(new_dead_letters(&DeadLetters::default(), &answers), 0);
    }
}
