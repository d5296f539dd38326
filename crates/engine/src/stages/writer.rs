//! events-writer: stores operations of the schedule queue in the log.
//!
//! 1. receive the waiting operations of the queue;
//! 2. append them to the log: durable, at the next positions, each operation id once;
//! 3. park unreadable messages durably;
//! 4. only then acknowledge the batch to the queue;
//! 5. notify orders-manager.
//!
//! After a crash at any step the queue delivers the same operations again, and the log's unique
//! index drops duplicates.

use std::sync::Arc;
use std::time::Instant;

use crate::backoff::Backoff;
use crate::fault_injection::failpoint;
use crate::ports::{
    Appended, DeadLetters, EventLog, Notice, Notices, ScheduleConsumer, ScheduledBatch, StoreError,
};
use crate::stages::runner::{count_error, count_outcomes, measure, note_error, note_success};
use crate::{Operation, Position, Shutdown};

const NAME: &str = "events-writer";

/// Dependencies of events-writer.
pub struct WriterDeps {
    /// Queue of accepted operations.
    pub queue: Box<dyn ScheduleConsumer>,
    /// Log that operations are appended to.
    pub log: Arc<dyn EventLog>,
    /// Notices to orders-manager.
    pub notices: Arc<dyn Notices>,
}

/// Settings of events-writer.
#[derive(Clone, Debug)]
pub struct WriterSettings {
    /// Maximum number of operations in one batch.
    pub max_batch: usize,
}

/// Runs events-writer until shutdown.
pub async fn run(mut deps: WriterDeps, settings: WriterSettings, shutdown: Shutdown) {
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        match run_batch(&mut deps, &settings, &shutdown).await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                tracing::warn!(stage = NAME, "waiting: {error}");
                backoff.wait(&shutdown).await;
            }
        }
    }
}

async fn run_batch(
    deps: &mut WriterDeps,
    settings: &WriterSettings,
    shutdown: &Shutdown,
) -> Result<(), StoreError> {
    let batch = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(()),
        batch = deps.queue.receive(settings.max_batch) => batch?,
    };
    let started = Instant::now();
    failpoint("events-writer.received");
    let stored = store_batch(deps.log.as_ref(), deps.queue.as_mut(), &batch, shutdown);
    let Some(head) = stored.await else {
        return Ok(());
    };
    deps.queue.settle().await?;
    failpoint("events-writer.settled");
    measure(NAME, batch.operations.len(), started);
    if let Some(head) = head {
        deps.notices.publish(Notice::Stored { head }).await;
        failpoint("events-writer.notified");
    }
    Ok(())
}

/// Stores the batch and parks its unreadable messages. Retries until this succeeds, because the
/// queue keeps the batch until it is acknowledged. Returns the last position that was stored, if
/// there was one; `None` at shutdown.
pub(crate) async fn store_batch(
    log: &dyn EventLog,
    queue: &mut dyn ScheduleConsumer,
    batch: &ScheduledBatch,
    shutdown: &Shutdown,
) -> Option<Option<Position>> {
    let mut backoff = Backoff::default();
    loop {
        match try_store_batch(log, queue, batch).await {
            Ok(head) => {
                note_success(NAME);
                return Some(head);
            }
            Err(error) => {
                count_error(NAME);
                note_error(NAME, &error);
                tracing::warn!(stage = NAME, "batch not stored, will be retried: {error}");
                backoff.wait(shutdown).await;
            }
        }
        if shutdown.is_cancelled() {
            return None;
        }
    }
}

async fn try_store_batch(
    log: &dyn EventLog,
    queue: &mut dyn ScheduleConsumer,
    batch: &ScheduledBatch,
) -> Result<Option<Position>, StoreError> {
    let results = log.append(&batch.operations).await?;
    let head = store_conflicts(log, &batch.operations, &results).await?;
    count_dead_letters(&batch.dead_letters, &results);
    failpoint("events-writer.appended");
    for message in &batch.unreadable {
        tracing::error!(
            stage = NAME,
            "unreadable message parked: {}",
            message.reason
        );
        queue.park(message).await?;
        metrics::counter!("bakehouse_unreadable_messages_total").increment(1);
        failpoint("events-writer.parked");
    }
    Ok(head)
}

/// Appends operations to the log. An operation whose id is already used by other content is
/// appended under a new id, so that its rejection is visible. Returns the last position that was
/// stored.
pub(crate) async fn append(
    log: &dyn EventLog,
    operations: &[Operation],
) -> Result<Option<Position>, StoreError> {
    let results = log.append(operations).await?;
    store_conflicts(log, operations, &results).await
}

/// Logs and counts the results of an append, and appends conflicting operations under new ids.
async fn store_conflicts(
    log: &dyn EventLog,
    operations: &[Operation],
    results: &[Appended],
) -> Result<Option<Position>, StoreError> {
    let conflicts: Vec<Operation> = operations
        .iter()
        .zip(results)
        .filter(|(_, result)| **result == Appended::Conflict)
        .map(|(operation, _)| operation.clone().into_conflict())
        .collect();
    let mut head = summarise(operations, results);
    if !conflicts.is_empty() {
        let results = log.append(&conflicts).await?;
        head = head.max(summarise(&conflicts, &results));
    }
    Ok(head)
}

/// Counts and logs the dead letters that were new to the log. The others are repetitions: second
/// copies, or dead letters that an earlier process had stored.
fn count_dead_letters(dead_letters: &DeadLetters, results: &[Appended]) {
    let count = new_dead_letters(dead_letters, results);
    if count > 0 {
        metrics::counter!("bakehouse_dead_letters_total").increment(count);
        let reason = &dead_letters.reason;
        tracing::warn!(
            stage = NAME,
            count,
            reason,
            "accepted operations had been removed from the schedule queue as dead letters, and are \
             now stored; check the policies of the queue"
        );
    }
}

fn new_dead_letters(dead_letters: &DeadLetters, results: &[Appended]) -> u64 {
    let stored = dead_letters.indexes.iter().filter(|index| {
        let result = results.get(**index);
        matches!(result, Some(Appended::Stored(_)))
    });
    stored.count() as u64
}

fn summarise(operations: &[Operation], results: &[Appended]) -> Option<Position> {
    for (operation, result) in operations.iter().zip(results) {
        tracing::debug!(stage = NAME, operation_id = %operation.operation_id, "{result:?}");
    }
    let count = |wanted: fn(&Appended) -> bool| results.iter().filter(|a| wanted(a)).count();
    let stored = count(|result| matches!(result, Appended::Stored(_)));
    let duplicates = count(|result| *result == Appended::Duplicate);
    let conflicts = count(|result| *result == Appended::Conflict);
    count_outcomes(
        "bakehouse_operations_stored_total",
        [
            ("stored", stored),
            ("duplicate", duplicates),
            ("conflict", conflicts),
        ],
    );
    let head = results.iter().rev().find_map(|result| match result {
        Appended::Stored(position) => Some(*position),
        Appended::Duplicate | Appended::Conflict => None,
    });
    if !operations.is_empty() {
        tracing::debug!(
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
        let results = [
            Appended::Stored(7),
            Appended::Stored(8),
            Appended::Duplicate,
            Appended::Stored(9),
        ];
        assert_eq!(new_dead_letters(&dead_letters, &results), 2);
        let duplicates = [Appended::Duplicate; 4];
        assert_eq!(new_dead_letters(&dead_letters, &duplicates), 0);
        assert_eq!(new_dead_letters(&DeadLetters::default(), &results), 0);
    }
}
