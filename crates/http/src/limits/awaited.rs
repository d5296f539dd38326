//! Operations whose outcome requests wait for: one poll of the log for all of them, whenever the
//! feed advances or an interval has passed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bakehouse_engine::feed::Feed;
use bakehouse_engine::ports::{EventLog, Selection, StoreError, SummaryQuery};
use bakehouse_engine::{EntryStatus, LogEntry, Position, Shutdown};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

/// Maximum number of operations in one query.
const MAX_BATCH: usize = 500;
/// Minimum interval between two polls while the feed is busy.
const MIN_INTERVAL: Duration = Duration::from_millis(5);
/// Addition to [`MIN_INTERVAL`] for each polled operation.
const INTERVAL_PER_OPERATION: Duration = Duration::from_micros(50);
/// Interval between two polls while the feed does not advance.
const MAX_INTERVAL: Duration = Duration::from_millis(200);
/// Interval at which a log entry without a verdict is polled again before the feed reaches it.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of one query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// Operations whose outcome requests wait for.
#[derive(Default)]
pub(crate) struct Awaited {
    operations: Mutex<HashMap<Uuid, Entry>>,
    /// Notification that a wait has started.
    wait_started: Notify,
}

struct Entry {
    outcome: watch::Sender<Option<Arc<LogEntry>>>,
    known: Known,
}

/// Result of the last poll of an operation.
#[derive(Clone)]
enum Known {
    /// The log does not have the operation.
    Nothing,
    /// The operation has a position, but no verdict; polled at the given time.
    Stored { position: Position, at: Instant },
    /// The operation has a verdict, whose effect is visible once the feed has reached it.
    Decided(Arc<LogEntry>),
}

/// Wait of one request for an operation; it ends when this is dropped.
pub(crate) struct Outcome<'a> {
    awaited: &'a Awaited,
    operation_id: Uuid,
    outcome: watch::Receiver<Option<Arc<LogEntry>>>,
}

impl Awaited {
    fn operations(&self) -> MutexGuard<'_, HashMap<Uuid, Entry>> {
        self.operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a wait for an operation.
    pub(crate) fn outcome_of(&self, operation_id: Uuid) -> Outcome<'_> {
        let mut operations = self.operations();
        let entry = operations.entry(operation_id).or_insert_with(|| Entry {
            outcome: watch::Sender::new(None),
            known: Known::Nothing,
        });
        let outcome = entry.outcome.subscribe();
        drop(operations);
        self.wait_started.notify_one();
        Outcome {
            awaited: self,
            operation_id,
            outcome,
        }
    }

    /// Polls the log for all awaited operations until shutdown, which ends the waits as well
    /// ([`crate::request::prefer::Wait`]).
    pub(super) async fn run(&self, log: &dyn EventLog, feed: &Feed, shutdown: &Shutdown) {
        let serve = async {
            loop {
                if self.operations().is_empty() {
                    self.wait_started.notified().await;
                }
                let head = feed.head_position();
                let count = self.poll(log, feed).await;
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                let interval = INTERVAL_PER_OPERATION.saturating_mul(count);
                tokio::time::sleep(MIN_INTERVAL + interval).await;
                tokio::select! {
                    () = self.wait_started.notified() => {}
                    () = feed.reached(head + 1) => {}
                    () = tokio::time::sleep(MAX_INTERVAL) => {}
                }
            }
        };
        tokio::select! {
            () = serve => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// Polls the log once; returns the number of polled operations.
    async fn poll(&self, log: &dyn EventLog, feed: &Feed) -> usize {
        let ids = self.undecided(feed.head_position());
        for ids in ids.chunks(MAX_BATCH) {
            match find(log, ids).await {
                Ok(log_entries) => self.record(log_entries, feed.head_position()),
                // The requests keep waiting until they time out.
                Err(error) => tracing::debug!("polling the log failed: {error}"),
            }
        }
        ids.len()
    }

    /// Notifies the waits whose operations the feed has reached; returns the operations that must
    /// be polled.
    fn undecided(&self, head: Position) -> Vec<Uuid> {
        let mut undecided = Vec::new();
        for (id, entry) in self.operations().iter() {
            match &entry.known {
                Known::Nothing => undecided.push(*id),
                Known::Stored { position, at } => {
                    if *position <= head || at.elapsed() >= RECHECK_INTERVAL {
                        undecided.push(*id);
                    }
                }
                Known::Decided(log_entry) => entry.notify(log_entry, head),
            }
        }
        undecided
    }

    fn record(&self, log_entries: Vec<LogEntry>, head: Position) {
        let mut operations = self.operations();
        for log_entry in log_entries {
            let Some(entry) = operations.get_mut(&log_entry.operation.operation_id) else {
                continue;
            };
            if log_entry.status == EntryStatus::Stored {
                let (position, at) = (log_entry.position, Instant::now());
                entry.known = Known::Stored { position, at };
                continue;
            }
            let log_entry = Arc::new(log_entry);
            entry.notify(&log_entry, head);
            entry.known = Known::Decided(log_entry);
        }
    }
}

async fn find(log: &dyn EventLog, ids: &[Uuid]) -> Result<Vec<LogEntry>, StoreError> {
    let query = SummaryQuery::first(Selection::Operations(ids), ids.len());
    let found = tokio::time::timeout(QUERY_TIMEOUT, log.summaries(&query)).await;
    found.unwrap_or_else(|_| Err(StoreError::unavailable("the log: timed out")))
}

/// Checks whether the outcome of an entry is final, and visible in a feed that has reached `head`.
pub(crate) fn is_final(log_entry: &LogEntry, head: Position) -> bool {
    match log_entry.status {
        EntryStatus::Stored => false,
        EntryStatus::Executed => log_entry.resolved_by.unwrap_or(log_entry.position) <= head,
        EntryStatus::Rejected | EntryStatus::Parked => true,
    }
}

impl Entry {
    /// Notifies the waits if the outcome of a log entry is final.
    fn notify(&self, log_entry: &Arc<LogEntry>, head: Position) {
        if is_final(log_entry, head) {
            self.outcome.send_replace(Some(log_entry.clone()));
        }
    }
}

impl Outcome<'_> {
    /// Waits until the outcome of a log entry is final and returns that entry.
    pub(crate) async fn wait_until_final(&mut self) -> Option<Arc<LogEntry>> {
        // The sender lives as long as this receiver.
        let outcome = self.outcome.wait_for(Option::is_some).await;
        outcome.ok().and_then(|outcome| outcome.clone())
    }
}

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        let mut operations = self.awaited.operations();
        // The last receiver is this one.
        let is_last = |entry: &Entry| entry.outcome.receiver_count() <= 1;
        if operations.get(&self.operation_id).is_some_and(is_last) {
            operations.remove(&self.operation_id);
        }
    }
}
