//! Parking: a failing entity parks only its own operations. For any failures, batches and
//! resolutions the outcome equals that of a simple model, and replaying the log gives the same
//! outcome.

mod pure_engine;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use bakehouse_engine::{
    Domain, Entity, EntryStatus, Frame, LogEntry, Moment, Operation, Position, Rejection,
    Resolution, Timestamp, Verb, to_json,
};
use bakehouse_testkit::cases::cases;
use bakehouse_testkit::operations::operation;
use proptest::prelude::*;
use pure_engine::{PureEngine, frame_texts};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

thread_local! {
    /// Position from which on the program executes [`Command::Fail`] without a panic.
    static REPAIRED_AT: Cell<Position> = const { Cell::new(0) };
}

/// Domain of counters with a command that panics until the program is repaired.
struct Failing;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Command {
    Add(i64),
    Take(i64),
    /// Adds to the value; panics until the program is repaired.
    Fail(i64),
}

impl Domain for Failing {
    const NAME: &'static str = "counter";
    const SCHEMA_VERSION: u32 = 1;
    const SNAPSHOT_INTERVAL: u64 = 3;
    const CHANGES: &'static [&'static str] = &["changed", "lowered"];
    type Command = Command;
    type Event = i64;
    type State = i64;
    type Document = serde_json::Value;

    fn verb(_: &Command) -> Verb {
        Verb::Update
    }

    fn decide(state: Option<&i64>, command: Command, moment: Moment) -> Result<i64, Rejection> {
        match command {
            Command::Add(by) => Ok(by),
            Command::Take(by) if state.is_some_and(|value| *value >= by) => Ok(-by),
            Command::Take(_) => Err(Rejection::new("too much")),
            Command::Fail(by) => {
                assert!(moment.position >= REPAIRED_AT.get(), "not repaired");
                Ok(by)
            }
        }
    }

    fn apply(state: Option<i64>, event: i64, _: Moment) -> i64 {
        state.unwrap_or(0) + event
    }

    fn bake(entity: &Entity<i64>) -> serde_json::Value {
        serde_json::json!({ "value": entity.state, "version": entity.version })
    }

    fn change(event: &i64) -> &'static str {
        if *event < 0 { "lowered" } else { "changed" }
    }
}

/// Request of a client or an operator.
#[derive(Clone, Copy, Debug)]
enum Request {
    Command(Command),
    /// Resolution of the first parked operation, or of an unknown one if not `is_right`.
    Resolution {
        verb: Verb,
        is_right: bool,
    },
}

fn requests() -> impl Strategy<Value = Vec<(u8, Request)>> {
    let resolution =
        |verb| any::<bool>().prop_map(move |is_right| Request::Resolution { verb, is_right });
    let request = prop_oneof![
        4 => (1..9_i64).prop_map(|by| Request::Command(Command::Add(by))),
        3 => (1..9_i64).prop_map(|by| Request::Command(Command::Take(by))),
        2 => (1..9_i64).prop_map(|by| Request::Command(Command::Fail(by))),
        2 => resolution(Verb::Retry),
        2 => resolution(Verb::Discard),
    ];
    proptest::collection::vec((0..3_u8, request), 1..50)
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1..12_usize, 1..12)
}

/// Simple model of the expected outcome.
#[derive(Default)]
struct Model {
    entities: BTreeMap<String, Counter>,
    statuses: Vec<EntryStatus>,
    /// Value of the entity, if it exists, after each position.
    values: Vec<Option<i64>>,
    repaired_at: Position,
}

#[derive(Default)]
struct Counter {
    value: Option<i64>,
    parked: VecDeque<(usize, Uuid, Command)>,
}

impl Counter {
    fn run(&mut self, command: Command, is_repaired: bool) -> EntryStatus {
        let value = self.value.unwrap_or(0);
        match command {
            Command::Fail(_) if !is_repaired => return EntryStatus::Parked,
            Command::Take(by) if self.value.is_none() || value < by => {
                return EntryStatus::Rejected;
            }
            Command::Take(by) => self.value = Some(value - by),
            Command::Add(by) | Command::Fail(by) => self.value = Some(value + by),
        }
        EntryStatus::Executed
    }
}

impl Model {
    fn handle(&mut self, id: &str, request: Request) -> Operation {
        let position = self.statuses.len() as Position + 1;
        let is_repaired = position >= self.repaired_at;
        let counter = self.entities.entry(id.to_owned()).or_default();
        let (operation, status) = match request {
            Request::Command(command) => {
                let operation = operation(id, &command);
                let status = match counter.parked.is_empty() {
                    true => counter.run(command, is_repaired),
                    false => EntryStatus::Parked,
                };
                if status == EntryStatus::Parked {
                    let index = self.statuses.len();
                    let parked = (index, operation.operation_id, command);
                    counter.parked.push_back(parked);
                }
                (operation, status)
            }
            Request::Resolution { verb, is_right } => {
                let first = counter.parked.front().filter(|_| is_right);
                let first = first.map(|(_, id, _)| *id);
                let operation = resolution(id, verb, first.unwrap_or_else(Uuid::now_v7));
                let status = match first {
                    Some(_) => resolve(counter, &mut self.statuses, verb, is_repaired),
                    None => EntryStatus::Rejected,
                };
                (operation, status)
            }
        };
        self.statuses.push(status);
        self.values.push(self.entities[id].value);
        operation
    }
}

fn resolve(
    counter: &mut Counter,
    statuses: &mut [EntryStatus],
    verb: Verb,
    is_repaired: bool,
) -> EntryStatus {
    if verb == Verb::Discard {
        let (index, ..) = counter.parked.pop_front().expect("there is one");
        statuses[index] = EntryStatus::Rejected;
    }
    let mut status = match verb {
        Verb::Discard => EntryStatus::Executed,
        _ => EntryStatus::Rejected,
    };
    while let Some((index, _, command)) = counter.parked.front().copied() {
        match counter.run(command, is_repaired) {
            EntryStatus::Parked => break,
            outcome => statuses[index] = outcome,
        }
        counter.parked.pop_front();
        status = EntryStatus::Executed;
    }
    status
}

fn resolution(entity_id: &str, verb: Verb, first: Uuid) -> Operation {
    let payload = Resolution {
        operation_id: first,
        reason: None,
    };
    Operation {
        operation: verb,
        payload: to_json(&payload).expect("JSON"),
        ..operation(entity_id, &0)
    }
}

/// Returns the log of the requests, and the model of its outcome.
fn setup(requests: &[(u8, Request)], repaired_at: Position) -> (Vec<LogEntry>, Model) {
    REPAIRED_AT.set(repaired_at);
    let mut model = Model {
        repaired_at,
        ..Model::default()
    };
    let events = requests
        .iter()
        .zip(1_u64..)
        .map(|((id, request), position)| {
            let time = 1_700_000_000_000 + i64::try_from(position).expect("small");
            let operation = model.handle(&format!("c-{id}"), *request);
            let time = Timestamp::from_millis(time).expect("in range");
            LogEntry::stored(position, time, operation)
        });
    (events.collect(), model)
}

/// Suppresses the messages of expected panics.
fn silence_expected_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        if !text.contains("not repaired") {
            eprintln!("{text}");
        }
    }));
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_failing_entity_parks_only_its_own_operations_until_resolved(
        requests in requests(), repaired_at in 1..60_u64, cuts in cuts(), again in cuts(),
        baked in cuts(),
    ) {
        silence_expected_panics();
        let (events, model) = setup(&requests, repaired_at);
        let engine = PureEngine::<Failing>::new(events).executed(&cuts);
        prop_assert_eq!(&engine.statuses(), &model.statuses);
        let parked = model.entities.values().map(|counter| counter.parked.len() as u64);
        prop_assert_eq!(engine.checkpoint.parked, parked.sum::<u64>());
        let exist = model.entities.values().filter(|counter| counter.value.is_some()).count();
        prop_assert_eq!(engine.checkpoint.entities, exist as u64);
        for (id, record) in &engine.records {
            let value: i64 = serde_json::from_str(record.state.get()).expect("a number");
            prop_assert_eq!(Some(value), model.entities[id].value);
        }

        // Replaying the log gives the same state.
        let replayed = engine.unexecuted().executed(&again);
        prop_assert_eq!(engine.texts(), replayed.texts());
        prop_assert_eq!(engine.statuses(), replayed.statuses());
        prop_assert_eq!(engine.checkpoint, replayed.checkpoint);

        // Frames and documents depend on the log alone.
        let (frames, documents) = engine.baked(&baked);
        let (frames_again, documents_again) = replayed.baked(&again);
        prop_assert_eq!(frame_texts(&frames), frame_texts(&frames_again));
        prop_assert_eq!(&documents, &documents_again);
        let (frames_from_log, documents_from_log) = engine.baked_from_the_log(&again);
        prop_assert_eq!(frame_texts(&frames), frame_texts(&frames_from_log));
        prop_assert_eq!(&documents, &documents_from_log);
        prop_assert_eq!(documents.len(), exist);
        for (frame, value) in frames.iter().zip(&model.values) {
            let frame: serde_json::Value = serde_json::from_str(frame.body.get()).expect("JSON");
            if let Some(document) = frame.get("counter") {
                prop_assert_eq!(document["value"].as_i64(), *value);
            }
        }
    }
}

/// Returns a log in which the second of two retries resolves a failing counter.
fn resolved_log() -> Vec<LogEntry> {
    silence_expected_panics();
    let retry = Request::Resolution {
        verb: Verb::Retry,
        is_right: true,
    };
    let requests = [
        (1, Request::Command(Command::Fail(5))),
        (1, Request::Command(Command::Take(3))),
        (2, Request::Command(Command::Add(1))),
        (1, Request::Command(Command::Take(9))),
        (1, retry),
        (1, retry),
    ];
    setup(&requests, 6).0
}

fn frames(events: Vec<LogEntry>) -> Vec<serde_json::Value> {
    let engine = PureEngine::<Failing>::new(events).executed(&[4]);
    let (frames, _) = engine.baked(&[3]);
    let value = |text| serde_json::from_str(text).expect("JSON");
    frames.iter().map(|frame| value(frame.body.get())).collect()
}

#[test]
fn operations_of_other_owners_are_hidden_in_a_resolution() {
    let mut events = resolved_log();
    for (event, owner) in events.iter_mut().zip(["ada", "ada", "ada", "bob"]) {
        event.operation.terms.owner = Some(owner.to_owned());
    }
    let last = frames(events).pop().expect("a frame");
    let settled = last["settled"].as_array().expect("a list");
    let positions: Vec<_> = settled.iter().map(|one| one["position"].as_u64()).collect();
    assert_eq!(positions, [Some(1), Some(2)]);
}

#[test]
fn the_frame_of_a_resolution_lists_its_results() {
    let frames = frames(resolved_log());
    let kinds: Vec<_> = frames.iter().map(|frame| &frame["type"]).collect();
    let (parked, changed) = ("counter.parked", "counter.changed");
    assert_eq!(
        kinds,
        [parked, parked, changed, parked, "counter.rejected", changed]
    );
    assert_eq!(frames[0]["reason"], "execution failed: not repaired");
    assert_eq!(frames[1]["reason"], "position 1 is parked before it");
    let failed = "retry failed: execution failed: not repaired";
    assert_eq!(frames[4]["reason"], failed);
    assert_eq!(frames[5]["counter"]["value"], 2);
    assert_eq!(frames[5]["counter"]["version"], 2);
    let settled = frames[5]["settled"].as_array().expect("a list");
    let results: Vec<_> = settled
        .iter()
        .map(|one| (one["position"].as_u64(), one["status"].as_str()))
        .collect();
    assert_eq!(
        results,
        [
            (Some(1), Some("executed")),
            (Some(2), Some("executed")),
            (Some(4), Some("rejected"))
        ]
    );
    assert_eq!(settled[2]["reason"], "too much");
}

const RETRY: Request = Request::Resolution {
    verb: Verb::Retry,
    is_right: true,
};
const DISCARD: Request = Request::Resolution {
    verb: Verb::Discard,
    is_right: true,
};

/// Returns the frames of requests by these owners, in order.
fn frames_of(requests: &[(Option<&str>, u8, Request)], repaired_at: Position) -> Vec<Frame> {
    silence_expected_panics();
    let without_owner: Vec<_> = requests
        .iter()
        .map(|(_, id, request)| (*id, *request))
        .collect();
    let (mut events, _) = setup(&without_owner, repaired_at);
    for (event, (owner, ..)) in events.iter_mut().zip(requests) {
        event.operation.terms.owner = owner.map(str::to_owned);
    }
    PureEngine::<Failing>::new(events)
        .executed(&[4])
        .baked(&[3])
        .0
}

#[test]
fn a_parked_frame_is_visible_to_its_sender() {
    let (ada, bob) = (Some("ada"), Some("bob"));
    let fail = Request::Command(Command::Fail(5));
    let frames = frames_of(
        &[
            (ada, 1, Request::Command(Command::Add(9))),
            (ada, 1, fail),
            (bob, 1, Request::Command(Command::Add(1))),
            (None, 1, Request::Command(Command::Add(2))),
            (bob, 2, fail),
            // Only rejects bob's operation.
            (None, 2, DISCARD),
            (None, 3, fail),
            (None, 3, DISCARD),
        ],
        1_000,
    );
    let owners: Vec<_> = frames.iter().map(|frame| frame.owner.as_deref()).collect();
    assert_eq!(owners, [ada, ada, bob, ada, bob, bob, None, None]);
}

#[test]
fn the_frame_of_a_resolution_is_named_by_the_last_change_or_the_creation() {
    let requests = |first: Request| {
        [
            (None, 1, first),
            (None, 1, Request::Command(Command::Fail(5))),
            (None, 1, Request::Command(Command::Take(3))),
            (None, 1, RETRY),
        ]
    };
    let kind = |first| frames_of(&requests(first), 4).pop().expect("a frame").kind;
    assert_eq!(kind(Request::Command(Command::Add(1))), "counter.lowered");
    // The first command is rejected, so that a later one creates the counter.
    assert_eq!(kind(Request::Command(Command::Take(1))), "counter.changed");
}
