//! Comparison of the log with the stores, one page of the log at a time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::marker::PhantomData;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::diff::Difference;
use super::heads::Heads;
use super::location::Location;
use super::numbers::Numbers;
use super::seen::SeenIds;
use super::{Audit, AuditDeps, AuditSettings, Code};
use crate::model::log_entry::{by_entity, entity_ids};
use crate::ports::{Baking, Checkpoint, StoreError};
use crate::stages::bake::{History, Trust, bake};
use crate::{Domain, EntityRecord, LogEntry, Position, Timestamp};

/// Maximum number of concurrent reads.
pub(super) const MAX_CONCURRENT_READS: usize = 16;
/// Attempts to read consistent heads: a store that has just changed its leader may return
/// outdated values.
const HEAD_READ_ATTEMPTS: usize = 4;
/// Interval between two attempts to read the heads.
const HEAD_READ_INTERVAL: Duration = Duration::from_millis(500);

/// State of a running audit.
pub(super) struct Auditor<D> {
    pub(super) deps: AuditDeps,
    pub(super) settings: AuditSettings,
    pub(super) audit: Audit,
    /// Identity of the log.
    pub(super) epoch: String,
    /// Number of findings in the result, by code.
    pub(super) reported: BTreeMap<Code, usize>,
    pub(super) numbers: Numbers,
    checkpoint: Checkpoint,
    /// Creation time of the previous log entry.
    last_creation_time: Option<Timestamp>,
    seen_operations: SeenIds,
    /// Ids of entities that changed after the audit had started.
    concurrently_changed: HashSet<String>,
    /// Highest position of such a change.
    latest_change: Position,
    domain: PhantomData<fn() -> D>,
}

impl<D: Domain> Auditor<D> {
    /// Reads the checkpoints of all stages and checks them.
    pub(super) async fn start(
        deps: AuditDeps,
        settings: AuditSettings,
        audit: Audit,
    ) -> Result<Self, StoreError> {
        let mut heads = Heads::read(&deps).await?;
        for _ in 1..HEAD_READ_ATTEMPTS {
            if heads.is_consistent() {
                break;
            }
            tokio::time::sleep(HEAD_READ_INTERVAL).await;
            heads = Heads::read(&deps).await?;
        }
        let epoch = deps.log.epoch().await?;
        let mut auditor = Self {
            audit: Audit {
                stored: heads.stored,
                executed: heads.checkpoint.position,
                baked: heads.baked(),
                ..audit
            },
            deps,
            settings,
            epoch,
            reported: BTreeMap::new(),
            numbers: Numbers::default(),
            checkpoint: heads.checkpoint,
            last_creation_time: None,
            seen_operations: SeenIds::with_capacity(heads.stored),
            concurrently_changed: HashSet::new(),
            latest_change: 0,
            domain: PhantomData,
        };
        auditor.check_heads(&heads);
        Ok(auditor)
    }

    /// Counts an entity as changed during the audit; such entities are not compared.
    pub(super) fn note_concurrent_change(&mut self, id: &str, position: Position) {
        self.latest_change = self.latest_change.max(position);
        if self.concurrently_changed.insert(id.to_owned()) {
            self.audit.moving += 1;
        }
    }

    /// Compares at most `limit` executed log entries after `from`, up to `end`. Returns the
    /// position of the last one.
    pub(super) async fn audit_page(
        &mut self,
        from: Position,
        limit: usize,
        end: Position,
    ) -> Result<Position, StoreError> {
        let (entries, to) = self.read_entries(from, limit, end).await?;
        if entries.is_empty() {
            return Ok(to);
        }
        for entry in &entries {
            self.compare_verdict(entry);
        }
        for (at, field) in self
            .deps
            .source_inspector
            .inconsistent_fields(from, to)
            .await?
        {
            let what = format!("field {field} does not match the fields that it repeats");
            self.report(Code::WrongEvent, Location::position(at), &what);
        }
        let records = self.load_records(&entries).await?;
        let histories = self.load_histories(&entries, &records, to).await?;
        let baking = self.bake(from, &entries, &records, &histories)?;
        self.compare_numbers(&entries, &baking, &histories);
        self.compare_frames(&baking).await?;
        let mut compared = Vec::new();
        for (id, record) in &records {
            if record.position > self.audit.executed {
                self.note_concurrent_change(id, record.position);
            } else if record.position > from && record.position <= to {
                compared.extend(self.compare_entity(id, record, &histories[id].entries)?);
            }
        }
        self.check_stale_states(from, &entries, &records, &histories);
        self.compare_blobs(&compared).await?;
        self.compare_documents(compared).await?;
        Ok(to)
    }

    /// Reads and checks at most `limit` log entries that are not executed yet and have no output.
    /// Returns the position of the last one.
    pub(super) async fn audit_unexecuted(
        &mut self,
        from: Position,
        limit: usize,
        end: Position,
    ) -> Result<Position, StoreError> {
        Ok(self.read_entries(from, limit, end).await?.1)
    }

    /// Reads at most `limit` log entries after `from`, and checks their creation times and
    /// operation ids. Returns them with the position of the last one, or with `end` if there
    /// are none.
    async fn read_entries(
        &mut self,
        from: Position,
        limit: usize,
        end: Position,
    ) -> Result<(Vec<LogEntry>, Position), StoreError> {
        let left = usize::try_from(end - from).unwrap_or(limit);
        let entries = self.deps.log.read(from, limit.min(left)).await?;
        if entries.is_empty() {
            let what = format!("the log ends here, expected to reach {end}");
            self.report(Code::LogGap, Location::position(from), &what);
        }
        for entry in &entries {
            self.audit.events += 1;
            let location = Location::entry(entry);
            let last = self.last_creation_time;
            if let Some(last) = last.filter(|last| entry.creation_time < *last) {
                let difference = Difference {
                    field: "creation_time".into(),
                    expected: format!("at least {last}").into(),
                    found: entry.creation_time.to_string().into(),
                };
                self.report_field(Code::WrongEvent, location, difference, None);
            }
            self.last_creation_time = Some(entry.creation_time);
            let operation = entry.operation.operation_id;
            if self.seen_operations.add(operation) {
                let other = self.deps.log.find(operation).await?;
                let other = other.filter(|other| other.position != entry.position);
                if let Some(other) = other {
                    let what = format!("the same operation is also at {}", other.position);
                    self.report(Code::DuplicateOperation, location, &what);
                }
            }
        }
        let to = entries.last().map_or(end, |entry| entry.position);
        Ok((entries, to))
    }

    /// Loads the source state of the entities of these log entries. State that cannot be read
    /// is reported and treated as absent.
    async fn load_records(
        &mut self,
        entries: &[LogEntry],
    ) -> Result<HashMap<String, EntityRecord>, StoreError> {
        let ids = entity_ids(entries);
        match self.deps.source.load(&ids).await {
            Err(StoreError::Corrupt(_)) => {}
            loaded => return loaded,
        }
        let mut records = HashMap::new();
        for id in ids {
            match self.deps.source.load(&[id]).await {
                Ok(found) => records.extend(found),
                Err(StoreError::Corrupt(what)) => {
                    self.report(Code::WrongState, Location::entity(id), &what);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }

    /// Loads the complete histories of these entities, up to the end of the page.
    async fn load_histories(
        &self,
        entries: &[LogEntry],
        records: &HashMap<String, EntityRecord>,
        to: Position,
    ) -> Result<HashMap<String, History>, StoreError> {
        let read = async |(id, run): (&str, Vec<&LogEntry>)| {
            let entries = match is_complete_history(records.get(id), &run) {
                true => run.into_iter().cloned().collect(),
                false => self.deps.log.history(id, 0, to).await?,
            };
            Ok((
                id.to_owned(),
                History {
                    base: None,
                    entries,
                },
            ))
        };
        let reading = stream::iter(by_entity(entries)).map(read);
        let all: Vec<_> = reading
            .buffer_unordered(MAX_CONCURRENT_READS)
            .try_collect()
            .await?;
        Ok(all.into_iter().collect())
    }

    /// Returns the documents and frames that the page must have produced. If the history of one
    /// entity is inconsistent, each entity is baked separately, so that the others are still
    /// compared.
    fn bake(
        &mut self,
        from: Position,
        entries: &[LogEntry],
        records: &HashMap<String, EntityRecord>,
        histories: &HashMap<String, History>,
    ) -> Result<Baking, StoreError> {
        let bake_page =
            |entries: &[LogEntry]| bake::<D>(from, entries, records, histories, Trust::Log);
        match bake_page(entries) {
            Err(StoreError::Corrupt(_)) => {}
            baked => return baked,
        }
        let mut all = Baking {
            from,
            to: entries.last().map_or(from, |entry| entry.position),
            documents: Vec::new(),
            frames: Vec::new(),
        };
        for (id, run) in by_entity(entries) {
            let run: Vec<LogEntry> = run.into_iter().cloned().collect();
            match bake_page(&run) {
                Ok(one) => {
                    all.documents.extend(one.documents);
                    all.frames.extend(one.frames);
                }
                Err(StoreError::Corrupt(what)) => {
                    let code = match records.contains_key(id) {
                        true => Code::WrongVerdict,
                        false => Code::MissingState,
                    };
                    self.report(code, Location::entry(&run[0]), &what);
                    self.numbers.skip_unknown();
                }
                Err(error) => return Err(error),
            }
        }
        all.frames.sort_unstable_by_key(|frame| frame.position);
        Ok(all)
    }

    /// Runs the checks that need the whole log to have been read: counts and late positions.
    pub(super) async fn finish(&mut self) -> Result<(), StoreError> {
        let now = self.deps.source.checkpoint().await?;
        let (latest, executed) = (self.latest_change, now.position);
        if latest > executed {
            let what = format!(
                "stored output is at {latest}, but the log is executed only up to {executed}"
            );
            self.report(Code::WrongCheckpoint, Location::position(latest), &what);
        }
        let Checkpoint {
            position,
            entities,
            parked,
            ..
        } = self.checkpoint;
        if !self.numbers.is_possible_count(entities) {
            self.report_count("entities", self.numbers.counted(), entities);
        }
        // A resolution may execute an operation that was parked when the audit started.
        let seen = self.audit.parked;
        if parked < seen || (parked > seen && executed == position) {
            self.report_count("parked", seen, parked);
        }
        Ok(())
    }

    fn report_count(&mut self, name: &str, expected: u64, found: u64) {
        let difference = Difference {
            field: format!("checkpoints.orders-manager.{name}"),
            expected: expected.into(),
            found: found.into(),
        };
        self.report_field(Code::WrongCheckpoint, Location::default(), difference, None);
    }
}

/// Checks whether the run holds all changes of an entity, according to the version in its
/// source state. A wrong version shows up in the comparison.
fn is_complete_history(record: Option<&EntityRecord>, run: &[&LogEntry]) -> bool {
    let is_plain =
        |entry: &&LogEntry| !entry.was_parked() && !entry.operation.operation.is_resolution();
    let changes = run.iter().filter(|entry| entry.is_executed_in_place());
    let version = record.map_or(0, |record| record.version);
    run.iter().all(is_plain) && changes.count() as u64 == version
}
