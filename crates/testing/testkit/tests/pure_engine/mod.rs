//! The pure functions of manager and baker over a log in memory, without stores and stages.
#![allow(dead_code, reason = "each test program needs a part of it")]

use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;

use bakehouse_engine::ports::{Checkpoint, Execution};
use bakehouse_engine::stages::bake::{History, Trust, bake, needs_history};
use bakehouse_engine::stages::execute::execute;
use bakehouse_engine::{
    Domain, EntityRecord, EntryStatus, Frame, LogEntry, Position, Timestamp, to_json,
};

pub(crate) type Records = HashMap<String, EntityRecord>;

/// Splits `count` entries into batches of the sizes `cuts`; the last size repeats.
fn batches(count: usize, cuts: &[usize]) -> Vec<std::ops::Range<usize>> {
    let mut sizes = cuts
        .iter()
        .copied()
        .chain(std::iter::repeat(cuts[cuts.len() - 1]));
    let mut runs = Vec::new();
    let mut start = 0;
    while start < count {
        let end = count.min(start + sizes.next().unwrap_or(1));
        runs.push(start..end);
        start = end;
    }
    runs
}

/// Log with the source state derived from it.
pub(crate) struct PureEngine<D> {
    pub(crate) events: Vec<LogEntry>,
    pub(crate) records: Records,
    pub(crate) checkpoint: Checkpoint,
    snapshots: BTreeMap<(String, Position), EntityRecord>,
    domain: PhantomData<D>,
}

impl<D> Clone for PureEngine<D> {
    fn clone(&self) -> Self {
        Self {
            events: self.events.clone(),
            records: self.records.clone(),
            checkpoint: self.checkpoint,
            snapshots: self.snapshots.clone(),
            domain: PhantomData,
        }
    }
}

impl<D: Domain> PureEngine<D> {
    /// Creates an engine with a log of which nothing has been executed.
    pub(crate) fn new(events: Vec<LogEntry>) -> Self {
        Self {
            events,
            records: Records::new(),
            checkpoint: Checkpoint::default(),
            snapshots: BTreeMap::new(),
            domain: PhantomData,
        }
    }

    /// Executes the whole log in batches.
    pub(crate) fn executed(mut self, cuts: &[usize]) -> Self {
        let start = self.checkpoint.position as usize;
        for run in batches(self.events.len() - start, cuts) {
            let batch = &self.events[start + run.start..start + run.end];
            let ever_parked = self.ever_parked(batch);
            let now = Timestamp::from_millis(1_800_000_000_000).expect("in range");
            let execution = execute::<D>(
                self.checkpoint,
                batch,
                self.records.clone(),
                ever_parked,
                now,
            )
            .expect("the log can be executed");
            assert_eq!(execution.verdicts.len(), batch.len());
            self.commit(execution);
        }
        self
    }

    /// Returns an engine with the same log, including its verdicts, of which nothing has been
    /// executed.
    pub(crate) fn unexecuted(&self) -> Self {
        Self::new(self.events.clone())
    }

    fn ever_parked(&self, batch: &[LogEntry]) -> Vec<LogEntry> {
        let concerns = |event: &LogEntry| batch.iter().any(|e| e.entity_id() == event.entity_id());
        let ever_parked = self.events.iter().filter(|e| e.was_parked() && concerns(e));
        match self.checkpoint.parked {
            0 => Vec::new(),
            _ => ever_parked.cloned().collect(),
        }
    }

    fn commit(&mut self, execution: Execution) {
        for write in execution.entities {
            let before = self.records.get(&write.record.id);
            assert_eq!(before.map(|record| record.position), write.expected);
            self.records.insert(write.record.id.clone(), write.record);
        }
        for record in execution.snapshots {
            let key = (record.id.clone(), record.position);
            self.snapshots.insert(key, record);
        }
        let start = execution.from.position as usize;
        for (event, verdict) in self.events[start..].iter_mut().zip(execution.verdicts) {
            if event.status == EntryStatus::Stored {
                verdict.apply_to(event);
            }
        }
        for resolved in execution.resolved {
            let event = &mut self.events[resolved.position as usize - 1];
            if event.status == EntryStatus::Parked {
                event.resolved_by = Some(resolved.by);
                resolved.verdict.apply_to(event);
            }
        }
        self.checkpoint = execution.to;
    }

    /// Bakes the whole log in batches against the final source state, as a baker that is as far
    /// behind the manager as possible.
    pub(crate) fn baked(&self, cuts: &[usize]) -> (Vec<Frame>, BTreeMap<String, String>) {
        self.bake(cuts, Trust::State)
    }

    /// Bakes the whole log from the log alone; the state of every entity is unreadable.
    pub(crate) fn baked_from_the_log(
        &self,
        cuts: &[usize],
    ) -> (Vec<Frame>, BTreeMap<String, String>) {
        let mut spoiled = self.clone();
        for record in spoiled.records.values_mut() {
            record.state = to_json(&"spoiled").expect("JSON");
        }
        spoiled.bake(cuts, Trust::Log)
    }

    fn bake(&self, cuts: &[usize], trust: Trust) -> (Vec<Frame>, BTreeMap<String, String>) {
        let mut frames = Vec::new();
        let mut documents = BTreeMap::new();
        let mut from = 0;
        for run in batches(self.events.len(), cuts) {
            let batch = &self.events[run];
            let histories = self.histories(from, batch, trust);
            let baking =
                bake::<D>(from, batch, &self.records, &histories, trust).expect("it can be baked");
            assert_eq!(baking.frames.len(), batch.len());
            frames.extend(baking.frames);
            for document in baking.documents {
                let is_first = !documents.contains_key(&document.id);
                assert_eq!(
                    document.created, is_first,
                    "created: there is no document yet"
                );
                documents.insert(document.id, document.body.get().to_owned());
            }
            from = baking.to;
        }
        (frames, documents)
    }

    fn histories(
        &self,
        from: Position,
        batch: &[LogEntry],
        trust: Trust,
    ) -> HashMap<String, History> {
        let last = batch.last().map_or(0, |event| event.position);
        let wanted = match trust {
            Trust::State => needs_history::<D>(batch, &self.records),
            Trust::Log => batch.iter().map(|e| e.entity_id().to_owned()).collect(),
        };
        wanted
            .into_iter()
            .map(|id| {
                let span = (id.clone(), 0)..=(id.clone(), from);
                let base = self.snapshots.range(span).next_back();
                let base = base.filter(|_| trust == Trust::State);
                let base = base.map(|(_, record)| record.clone());
                let after = base.as_ref().map_or(0, |base| base.position);
                let events = self.events.iter().filter(|e| {
                    let is_needed = e.position > after || e.was_parked();
                    e.entity_id() == id && e.position <= last && is_needed
                });
                let events = events.cloned().collect();
                (
                    id,
                    History {
                        base,
                        entries: events,
                    },
                )
            })
            .collect()
    }

    /// Returns the entities as text, for comparison.
    pub(crate) fn texts(&self) -> BTreeMap<String, String> {
        let records = self.records.iter();
        records
            .map(|(id, record)| (id.clone(), format!("{record:?}")))
            .collect()
    }

    /// Returns the status of each entry.
    pub(crate) fn statuses(&self) -> Vec<EntryStatus> {
        self.events.iter().map(|event| event.status).collect()
    }
}

/// Returns all fields of the frames as text, for comparison.
pub(crate) fn frame_texts(frames: &[Frame]) -> Vec<String> {
    frames.iter().map(|frame| format!("{frame:?}")).collect()
}
