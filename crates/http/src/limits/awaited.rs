//! Operations that somebody waits for: one look at the log for all of them together, whenever
//! the feed has moved on or a moment has passed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bakehouse_engine::feed::Feed;
use bakehouse_engine::ports::{EventLog, Selection, StoreError, SummaryQuery};
use bakehouse_engine::{EntryStatus, LogEntry, Position, Shutdown};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

/// Operations looked up by one query.
const MAX_BATCH: usize = 500;
/// Pause after each look, so that a feed that is busy does not make the looks endless.
const MIN_INTERVAL: Duration = Duration::from_millis(5);
/// Added to that for each operation that was looked up.
const INTERVAL_PER_OPERATION: Duration = Duration::from_micros(50);
/// Interval between two looks while the feed does not move.
const MAX_INTERVAL: Duration = Duration::from_millis(200);
/// Interval at which an event that is in the log without a verdict is looked at again,
/// although the feed has not come to it.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time that a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// The operations that are waited for.
#[derive(Default)]
pub(crate) struct Awaited {
    operations: Mutex<HashMap<Uuid, Entry>>,
    /// Somebody has begun to wait.
    begun: Notify,
}

struct Entry {
    outcome: watch::Sender<Option<Arc<LogEntry>>>,
    known: Known,
}

/// Result of the latest look.
#[derive(Clone)]
enum Known {
    /// The log does not have it, as far as is known.
    Nothing,
    /// It has a position, but no verdict.
    Stored { position: Position, at: Instant },
    /// It has its verdict, whose effect is seen once the feed has come to it.
    Decided(Arc<LogEntry>),
}

/// Somebody's wait for an operation, until it is dropped.
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

    /// Begins to wait for an operation.
    pub(crate) fn outcome_of(&self, operation_id: Uuid) -> Outcome<'_> {
        let mut operations = self.operations();
        let entry = operations.entry(operation_id).or_insert_with(|| Entry {
            outcome: watch::Sender::new(None),
            known: Known::Nothing,
        });
        let outcome = entry.outcome.subscribe();
        drop(operations);
        self.begun.notify_one();
        Outcome {
            awaited: self,
            operation_id,
            outcome,
        }
    }

    /// Looks for all operations that are waited for, until shutdown, which ends their waits as
    /// well ([`crate::request::prefer::Wait`]).
    pub(super) async fn run(&self, log: &dyn EventLog, feed: &Feed, shutdown: &Shutdown) {
        let serve = async {
            loop {
                if self.operations().is_empty() {
                    self.begun.notified().await;
                }
                let head = feed.head_position();
                let count = self.look(log, feed).await;
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                let interval = INTERVAL_PER_OPERATION.saturating_mul(count);
                tokio::time::sleep(MIN_INTERVAL + interval).await;
                tokio::select! {
                    () = self.begun.notified() => {}
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

    /// Says how many operations were looked up.
    async fn look(&self, log: &dyn EventLog, feed: &Feed) -> usize {
        let ids = self.unknown(feed.head_position());
        for ids in ids.chunks(MAX_BATCH) {
            match find(log, ids).await {
                Ok(events) => self.take(events, feed.head_position()),
                // Whoever waits is told when their time is up.
                Err(error) => tracing::debug!("waiting for the log: {error}"),
            }
        }
        ids.len()
    }

    /// Tells of what the feed has come to; the operations that are left, and must be looked
    /// up.
    fn unknown(&self, head: Position) -> Vec<Uuid> {
        let mut unknown = Vec::new();
        for (id, entry) in self.operations().iter() {
            match &entry.known {
                Known::Nothing => unknown.push(*id),
                Known::Stored { position, at } => {
                    if *position <= head || at.elapsed() >= RECHECK_INTERVAL {
                        unknown.push(*id);
                    }
                }
                Known::Decided(event) => entry.tell(event, head),
            }
        }
        unknown
    }

    fn take(&self, events: Vec<LogEntry>, head: Position) {
        let mut operations = self.operations();
        for event in events {
            let Some(entry) = operations.get_mut(&event.operation.operation_id) else {
                continue;
            };
            if event.status == EntryStatus::Stored {
                let (position, at) = (event.position, Instant::now());
                entry.known = Known::Stored { position, at };
                continue;
            }
            let event = Arc::new(event);
            entry.tell(&event, head);
            entry.known = Known::Decided(event);
        }
    }
}

async fn find(log: &dyn EventLog, ids: &[Uuid]) -> Result<Vec<LogEntry>, StoreError> {
    let query = SummaryQuery::first(Selection::Operations(ids), ids.len());
    let found = tokio::time::timeout(LOOK_TIMEOUT, log.summaries(&query)).await;
    found.unwrap_or_else(|_| Err(StoreError::unavailable("the log: no answer in time")))
}

/// Tells whether nothing more becomes of the event by itself, where the feed is at `head`.
pub(crate) fn is_at_rest(event: &LogEntry, head: Position) -> bool {
    match event.status {
        EntryStatus::Stored => false,
        EntryStatus::Executed => event.settled_by.unwrap_or(event.position) <= head,
        EntryStatus::Rejected | EntryStatus::Parked => true,
    }
}

impl Entry {
    fn tell(&self, event: &Arc<LogEntry>, head: Position) {
        if is_at_rest(event, head) {
            self.outcome.send_replace(Some(event.clone()));
        }
    }
}

impl Outcome<'_> {
    /// The event as soon as it is at rest.
    pub(crate) async fn at_rest(&mut self) -> Option<Arc<LogEntry>> {
        // The sender stays as long as this receiver does.
        let outcome = self.outcome.wait_for(Option::is_some).await;
        outcome.ok().and_then(|outcome| outcome.clone())
    }
}

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        let mut operations = self.awaited.operations();
        // The last one that is left is this one.
        let is_last = |entry: &Entry| entry.outcome.receiver_count() <= 1;
        if operations.get(&self.operation_id).is_some_and(is_last) {
            operations.remove(&self.operation_id);
        }
    }
}
