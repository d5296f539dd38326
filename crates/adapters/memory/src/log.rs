//! Log in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{
    Appended, EventLog, ResolvedEntry, StoreError, SummaryQuery, Verdict, contiguous, no_payload,
};
use bakehouse_engine::{EntryStatus, LogEntry, Operation, Position, Timestamp};
use uuid::Uuid;

use crate::lock;

/// Log in memory; clones share it.
#[derive(Clone)]
pub struct MemoryLog {
    epoch: String,
    entries: Arc<Mutex<Vec<LogEntry>>>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self {
            epoch: ids::fresh().to_string(),
            entries: Arc::default(),
        }
    }
}

impl MemoryLog {
    /// Writes the verdicts of the entries after `from` that have none yet.
    pub(crate) fn write_verdicts(&self, from: Position, verdicts: &[Verdict], at: Timestamp) {
        let mut entries = lock(&self.entries);
        let start = usize::try_from(from).unwrap_or(usize::MAX);
        for (entry, verdict) in entries.iter_mut().skip(start).zip(verdicts) {
            if entry.status == EntryStatus::Stored {
                let is_parked = matches!(verdict, Verdict::Parked { .. });
                entry.execution_time = (!is_parked).then_some(at);
                verdict.apply_to(entry);
            }
        }
    }

    /// Resolves those of the entries that are still parked.
    pub(crate) fn resolve(&self, resolved: &[ResolvedEntry], at: Timestamp) {
        let mut entries = lock(&self.entries);
        for one in resolved {
            let index = usize::try_from(one.position - 1).unwrap_or(usize::MAX);
            let found = entries.get_mut(index);
            if let Some(entry) = found.filter(|entry| entry.status == EntryStatus::Parked) {
                entry.execution_time = Some(at);
                entry.resolved_by = Some(one.by);
                one.verdict.apply_to(entry);
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
        let mut entries = lock(&self.entries);
        Ok(operations
            .iter()
            .map(|operation| append(&mut entries, operation, now))
            .collect())
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let start = usize::try_from(after).unwrap_or(usize::MAX);
        let run = lock(&self.entries)
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
        let entries = lock(&self.entries);
        let is_within = |position| position > after && position <= up_to;
        let history = entries
            .iter()
            .filter(|entry| entry.entity_id() == entity_id && is_within(entry.position));
        Ok(history.cloned().collect())
    }

    async fn find(&self, operation_id: Uuid) -> Result<Option<LogEntry>, StoreError> {
        let entries = lock(&self.entries);
        let found = entries
            .iter()
            .find(|entry| entry.operation.operation_id == operation_id);
        Ok(found.cloned())
    }

    async fn summaries(&self, query: &SummaryQuery<'_>) -> Result<Vec<LogEntry>, StoreError> {
        let entries = lock(&self.entries);
        let found = entries.iter().filter(|entry| query.matches(entry));
        let found = found.take(query.limit).cloned().map(|mut entry| {
            entry.operation.payload = no_payload();
            entry
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
        let entries = lock(&self.entries);
        let is_within = |position| position > after && position <= up_to;
        let executed = entries.iter().filter(|entry| {
            entry.entity_id() == entity_id
                && is_within(entry.position)
                && entry.is_executed_in_place()
        });
        Ok(executed.take(limit).cloned().collect())
    }

    async fn ever_parked(&self, entity_ids: &[&str]) -> Result<Vec<LogEntry>, StoreError> {
        let entries = lock(&self.entries);
        let parked = entries
            .iter()
            .filter(|entry| entry.was_parked() && entity_ids.contains(&entry.entity_id()));
        Ok(parked.cloned().collect())
    }

    async fn parked(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let entries = lock(&self.entries);
        let parked = entries
            .iter()
            .filter(|entry| entry.status == EntryStatus::Parked && entry.position > after);
        Ok(parked.take(limit).cloned().collect())
    }

    async fn head(&self) -> Result<Position, StoreError> {
        Ok(lock(&self.entries).len() as Position)
    }

    async fn epoch(&self) -> Result<String, StoreError> {
        Ok(self.epoch.clone())
    }
}

fn append(entries: &mut Vec<LogEntry>, operation: &Operation, now: Timestamp) -> Appended {
    let stored = entries
        .iter()
        .find(|entry| entry.operation.operation_id == operation.operation_id);
    match stored {
        Some(entry) if Operation::is_same(&entry.operation.fingerprint, &operation.fingerprint) => {
            Appended::Duplicate
        }
        Some(_) => Appended::Conflict,
        None => {
            let previous = entries.last().map(|entry| entry.creation_time);
            let creation_time = previous.map_or(now, |previous| previous.max(now));
            let position = entries.len() as Position + 1;
            entries.push(LogEntry::stored(position, creation_time, operation.clone()));
            Appended::Stored(position)
        }
    }
}
