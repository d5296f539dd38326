//! Verdicts stay when the rules change, entries whose document cannot be made are parked, and times
//! and snapshots follow the log.

mod pure_engine;

use std::cell::Cell;
use std::collections::HashMap;

use bakehouse_engine::ports::{Checkpoint, Execution, StoreError, Verdict};
use bakehouse_engine::stages::execute::execute;
use bakehouse_engine::{Domain, Entity, EntryStatus, LogEntry, Moment, Rejection, Timestamp, Verb};
use bakehouse_testkit::counter::{Command, Counter};
use bakehouse_testkit::operations::operation;
use bakehouse_testkit::scenario::at;
use pure_engine::{PureEngine, frame_texts};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};

thread_local! {
    /// Highest value that the current rules allow.
    static LIMIT: Cell<i64> = const { Cell::new(0) };
}

/// Value whose document cannot be serialized.
const WITHOUT_FORM: i64 = 13;
/// Value whose document cannot be created.
const WITHOUT_DOCUMENT: i64 = 14;

/// Domain of counters with a changing limit.
struct Limited;

struct Shown(i64);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            WITHOUT_FORM => Err(S::Error::custom("13 has no form")),
            value => serializer.collect_map([("value", value)]),
        }
    }
}

impl Domain for Limited {
    const NAME: &'static str = "counter";
    const SCHEMA_VERSION: u32 = 1;
    const CHANGES: &'static [&'static str] = &["raised"];
    type Command = i64;
    type Event = i64;
    type State = i64;
    type Document = Shown;

    fn verb(_: &i64) -> Verb {
        Verb::Update
    }

    fn decide(state: Option<&i64>, command: i64, _: Moment) -> Result<i64, Rejection> {
        let value = state.copied().unwrap_or_default() + command;
        match value > LIMIT.get() {
            true => Err(Rejection::new(format!("{value} is too much")).with_code("too-much")),
            false => Ok(command),
        }
    }

    fn apply(state: Option<i64>, event: i64, _: Moment) -> i64 {
        state.unwrap_or_default() + event
    }

    fn bake(entity: &Entity<i64>) -> Shown {
        assert_ne!(entity.state, WITHOUT_DOCUMENT, "no document");
        Shown(entity.state)
    }

    fn change(_: &i64) -> &'static str {
        "raised"
    }
}

/// Returns a log of additions to counters.
fn log(additions: &[(&str, i64)]) -> Vec<LogEntry> {
    let additions = additions.iter().zip(1_u64..);
    let stored = additions
        .map(|((id, by), position)| LogEntry::stored(position, at(position), operation(id, by)));
    stored.collect()
}

fn executed<D: Domain>(events: &[LogEntry], now: Timestamp) -> Result<Execution, StoreError> {
    let start = Checkpoint::default();
    execute::<D>(start, events, HashMap::new(), Vec::new(), now)
}

/// Returns the reasons and codes of rejections, by position.
fn rejections<D>(engine: &PureEngine<D>) -> Vec<(Option<&str>, Option<&str>)> {
    let events = engine.events.iter();
    events
        .map(|event| (event.reason.as_deref(), event.code.as_deref()))
        .collect()
}

#[test]
fn a_refusal_stays_whatever_the_rules_are_today() {
    LIMIT.set(10);
    let events = log(&[("a", 8), ("a", 5), ("b", 11), ("a", 2), ("b", 1)]);
    let before = PureEngine::<Limited>::new(events).executed(&[2]);
    let (yes, no) = (EntryStatus::Executed, EntryStatus::Rejected);
    assert_eq!(before.statuses(), [yes, no, no, yes, yes]);
    LIMIT.set(1_000);
    let after = before.unexecuted().executed(&[3]);
    assert_eq!(after.statuses(), before.statuses());
    assert_eq!(rejections(&after), rejections(&before));
    assert_eq!(after.texts(), before.texts());
    assert_eq!(after.checkpoint, before.checkpoint);
    assert_eq!(
        frame_texts(&after.baked(&[2]).0),
        frame_texts(&before.baked(&[5]).0)
    );
    // Holds for the engine's own verdicts, too, not only for those in the store.
    let again = executed::<Limited>(&before.events, at(9)).expect("a sound log");
    let rejection = before.events[1].rejection();
    assert_eq!(rejection.reason, "13 is too much");
    assert_eq!(again.verdicts[1], Verdict::Rejected(rejection));
}

#[test]
fn an_executed_entry_that_fails_now_is_an_error() {
    LIMIT.set(10);
    let events = log(&[("a", 8), ("b", 2)]);
    let before = PureEngine::<Limited>::new(events).executed(&[2]);
    LIMIT.set(5);
    let error = executed::<Limited>(&before.events, at(9)).expect_err("refused");
    let StoreError::Corrupt(text) = error else {
        panic!("another error: {error}");
    };
    assert!(text.contains("position 1"), "{text}");
    assert!(text.contains("8 is too much"), "{text}");
}

#[test]
fn an_entity_without_a_document_is_parked_alone() {
    LIMIT.set(100);
    let events = log(&[
        ("a", WITHOUT_FORM),
        ("b", WITHOUT_DOCUMENT),
        ("c", 1),
        ("a", 1),
        ("c", WITHOUT_FORM - 1),
        ("d", 2),
    ]);
    let engine = PureEngine::<Limited>::new(events).executed(&[4]);
    let (yes, parked) = (EntryStatus::Executed, EntryStatus::Parked);
    assert_eq!(
        engine.statuses(),
        [parked, parked, yes, parked, parked, yes]
    );
    let reason = |position: usize| engine.events[position - 1].parked.as_deref();
    assert_eq!(reason(1), Some("13 has no form"));
    let panicked = reason(2).unwrap_or_default();
    assert!(panicked.contains("no document"), "{panicked}");
    assert_eq!(reason(4), Some("position 1 is parked before it"));
    assert_eq!(engine.checkpoint.parked, 4);
    let (frames, documents) = engine.baked(&[4]);
    assert_eq!(frames.len(), 6);
    let documents: Vec<_> = documents.values().map(String::as_str).collect();
    assert_eq!(documents, [r#"{"value":1}"#, r#"{"value":2}"#]);
}

#[test]
fn the_time_of_execution_is_never_before_the_log() {
    LIMIT.set(100);
    let events = log(&[("a", 1), ("a", 1)]);
    let time = |now| {
        executed::<Limited>(&events, now)
            .expect("a sound log")
            .executed_at
    };
    assert_eq!(time(at(1)), at(2), "a clock that was set back");
    assert_eq!(time(at(7)), at(7));
}

#[test]
fn every_fourth_state_is_a_snapshot() {
    let additions = (1..=9_u64).map(|position| {
        let add = operation("a", &Command::Add(1));
        LogEntry::stored(position, at(position), add)
    });
    let events: Vec<LogEntry> = additions.collect();
    let execution = executed::<Counter>(&events, at(9)).expect("a sound log");
    let snapshots = execution.snapshots.iter();
    let snapshots: Vec<_> = snapshots
        .map(|one| (one.version, one.state.get()))
        .collect();
    assert_eq!(snapshots, [(4, "4"), (8, "8")]);
}
