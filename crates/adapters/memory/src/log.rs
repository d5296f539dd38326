//! The log in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{
    Appended, EventLog, Settlement, StoreError, SummaryQuery, Verdict, contiguous, no_payload,
};
use bakehouse_engine::{EntryStatus, LogEntry, Operation, Position, Timestamp};
use uuid::Uuid;

use crate::lock;

/// The log in memory; clones share it.
#[derive(Clone)]
pub struct MemoryLog {
    epoch: String,
    events: Arc<Mutex<Vec<LogEntry>>>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self {
            epoch: ids::fresh().to_string(),
            events: Arc::default(),
        }
    }
}

impl MemoryLog {
    /// Puts verdicts on the events after `from`, where there are none yet.
    pub(crate) fn mark(&self, from: Position, verdicts: &[Verdict], at: Timestamp) {
        let mut events = lock(&self.events);
        let start = usize::try_from(from).unwrap_or(usize::MAX);
        for (event, verdict) in events.iter_mut().skip(start).zip(verdicts) {
            if event.status == EntryStatus::Stored {
                let is_parked = matches!(verdict, Verdict::Parked { .. });
                event.execution_time = (!is_parked).then_some(at);
                verdict.put_on(event);
            }
        }
    }

    /// Ends the being parked of those events that still are.
    pub(crate) fn settle(&self, settlements: &[Settlement], at: Timestamp) {
        let mut events = lock(&self.events);
        for settlement in settlements {
            let index = usize::try_from(settlement.position - 1).unwrap_or(usize::MAX);
            let found = events.get_mut(index);
            if let Some(event) = found.filter(|event| event.status == EntryStatus::Parked) {
                event.execution_time = Some(at);
                event.settled_by = Some(settlement.by);
                settlement.verdict.put_on(event);
            }
        }
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn append_at(
        &self,
        operations: &[Operation],
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError> {
        let mut events = lock(&self.events);
        Ok(operations
            .iter()
            .map(|operation| append(&mut events, operation, now))
            .collect())
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let start = usize::try_from(after).unwrap_or(usize::MAX);
        let run = lock(&self.events)
            .iter()
            .skip(start)
            .take(limit)
            .cloned()
            .collect();
        contiguous(after, run)
    }

    async fn history(
        &self,
        entity_id: &str,
        after: Position,
        up_to: Position,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let events = lock(&self.events);
        let is_within = |position| position > after && position <= up_to;
        let history = events
            .iter()
            .filter(|event| event.entity_id() == entity_id && is_within(event.position));
        Ok(history.cloned().collect())
    }

    async fn find(&self, operation_id: Uuid) -> Result<Option<LogEntry>, StoreError> {
        let events = lock(&self.events);
        let found = events
            .iter()
            .find(|event| event.operation.operation_id == operation_id);
        Ok(found.cloned())
    }

    async fn summaries(&self, query: &SummaryQuery<'_>) -> Result<Vec<LogEntry>, StoreError> {
        let events = lock(&self.events);
        let found = events.iter().filter(|event| query.matches(event));
        let found = found.take(query.limit).cloned().map(|mut event| {
            event.operation.payload = no_payload();
            event
        });
        Ok(found.collect())
    }

    async fn executed(
        &self,
        entity_id: &str,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let events = lock(&self.events);
        let is_within = |position| position > after && position <= up_to;
        let executed = events.iter().filter(|event| {
            event.entity_id() == entity_id
                && is_within(event.position)
                && event.is_executed_in_place()
        });
        Ok(executed.take(limit).cloned().collect())
    }

    async fn held(&self, entity_ids: &[&str]) -> Result<Vec<LogEntry>, StoreError> {
        let events = lock(&self.events);
        let held = events
            .iter()
            .filter(|event| event.was_parked() && entity_ids.contains(&event.entity_id()));
        Ok(held.cloned().collect())
    }

    async fn parked(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let events = lock(&self.events);
        let parked = events
            .iter()
            .filter(|event| event.status == EntryStatus::Parked && event.position > after);
        Ok(parked.take(limit).cloned().collect())
    }

    async fn head(&self) -> Result<Position, StoreError> {
        Ok(lock(&self.events).len() as Position)
    }

    async fn epoch(&self) -> Result<String, StoreError> {
        Ok(self.epoch.clone())
    }
}

fn append(events: &mut Vec<LogEntry>, operation: &Operation, now: Timestamp) -> Appended {
    let known = events
        .iter()
        .find(|event| event.operation.operation_id == operation.operation_id);
    match known {
        Some(event) if Operation::is_same(&event.operation.fingerprint, &operation.fingerprint) => {
            Appended::Duplicate
        }
        Some(_) => Appended::Conflict,
        None => {
            let previous = events.last().map(|event| event.creation_time);
            let creation_time = previous.map_or(now, |previous| previous.max(now));
            let position = events.len() as Position + 1;
            events.push(LogEntry::stored(position, creation_time, operation.clone()));
            Appended::Stored(position)
        }
    }
}
