//! One bad entity holds up itself alone: whatever gets stuck, wherever the log
//! is cut, whoever repairs or gives up what and when, the outcome is that of a
//! plain model, and replaying the log gives it once more.

mod paper;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use bakehouse_engine::{
    Domain, Entity, EntryStatus, Frame, LogEntry, Moment, Operation, Position, Rejection,
    Resolution, Timestamp, Verb, to_json,
};
use bakehouse_testkit::cases::cases;
use bakehouse_testkit::operations::operation;
use paper::{Paper, whole};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

thread_local! {
    /// Before this position the program has a fault that curses meet.
    static REPAIRED_AT: Cell<Position> = const { Cell::new(0) };
}

/// A counter with a command that the program cannot take for a while.
struct Cursed;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Command {
    Add(i64),
    Take(i64),
    /// Adds, once the program is repaired.
    Curse(i64),
}

impl Domain for Cursed {
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
            Command::Curse(by) => {
                assert!(moment.position >= REPAIRED_AT.get(), "cursed");
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

/// What is asked next.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Command(Command),
    /// Of the first that is parked then, or of one that is none.
    Resolution {
        verb: Verb,
        is_right: bool,
    },
}

fn asks() -> impl Strategy<Value = Vec<(u8, Ask)>> {
    let resolution =
        |verb| any::<bool>().prop_map(move |is_right| Ask::Resolution { verb, is_right });
    let ask = prop_oneof![
        4 => (1..9_i64).prop_map(|by| Ask::Command(Command::Add(by))),
        3 => (1..9_i64).prop_map(|by| Ask::Command(Command::Take(by))),
        2 => (1..9_i64).prop_map(|by| Ask::Command(Command::Curse(by))),
        2 => resolution(Verb::Retry),
        2 => resolution(Verb::Discard),
    ];
    proptest::collection::vec((0..3_u8, ask), 1..50)
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1..12_usize, 1..12)
}

/// What the outcome must be, worked out the long way.
#[derive(Default)]
struct Model {
    entities: BTreeMap<String, Counter>,
    statuses: Vec<EntryStatus>,
    /// Each entity's value, if it has one, after each position.
    values: Vec<Option<i64>>,
    repaired_at: Position,
}

#[derive(Default)]
struct Counter {
    value: Option<i64>,
    held: VecDeque<(usize, Uuid, Command)>,
}

impl Counter {
    fn run(&mut self, command: Command, is_repaired: bool) -> EntryStatus {
        let value = self.value.unwrap_or(0);
        match command {
            Command::Curse(_) if !is_repaired => return EntryStatus::Parked,
            Command::Take(by) if self.value.is_none() || value < by => {
                return EntryStatus::Rejected;
            }
            Command::Take(by) => self.value = Some(value - by),
            Command::Add(by) | Command::Curse(by) => self.value = Some(value + by),
        }
        EntryStatus::Executed
    }
}

impl Model {
    fn ask(&mut self, id: &str, ask: Ask) -> Operation {
        let position = self.statuses.len() as Position + 1;
        let is_repaired = position >= self.repaired_at;
        let counter = self.entities.entry(id.to_owned()).or_default();
        let (operation, status) = match ask {
            Ask::Command(command) => {
                let operation = operation(id, &command);
                let status = match counter.held.is_empty() {
                    true => counter.run(command, is_repaired),
                    false => EntryStatus::Parked,
                };
                if status == EntryStatus::Parked {
                    let index = self.statuses.len();
                    let held = (index, operation.operation_id, command);
                    counter.held.push_back(held);
                }
                (operation, status)
            }
            Ask::Resolution { verb, is_right } => {
                let first = counter.held.front().filter(|_| is_right);
                let first = first.map(|(_, id, _)| *id);
                let operation = resolution(id, verb, first.unwrap_or_else(Uuid::now_v7));
                let status = match first {
                    Some(_) => remedied(counter, &mut self.statuses, verb, is_repaired),
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

fn remedied(
    counter: &mut Counter,
    statuses: &mut [EntryStatus],
    verb: Verb,
    is_repaired: bool,
) -> EntryStatus {
    if verb == Verb::Discard {
        let (index, ..) = counter.held.pop_front().expect("there is one");
        statuses[index] = EntryStatus::Rejected;
    }
    let mut status = match verb {
        Verb::Discard => EntryStatus::Executed,
        _ => EntryStatus::Rejected,
    };
    while let Some((index, _, command)) = counter.held.front().copied() {
        match counter.run(command, is_repaired) {
            EntryStatus::Parked => break,
            outcome => statuses[index] = outcome,
        }
        counter.held.pop_front();
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

/// The log of what was asked, and what must become of it.
fn scene(asks: &[(u8, Ask)], repaired_at: Position) -> (Vec<LogEntry>, Model) {
    REPAIRED_AT.set(repaired_at);
    let mut model = Model {
        repaired_at,
        ..Model::default()
    };
    let events = asks.iter().zip(1_u64..).map(|((id, ask), position)| {
        let time = 1_700_000_000_000 + i64::try_from(position).expect("small");
        let operation = model.ask(&format!("c-{id}"), *ask);
        let time = Timestamp::from_millis(time).expect("in range");
        LogEntry::stored(position, time, operation)
    });
    (events.collect(), model)
}

/// Panics are what this is about; their messages would only fill the log.
fn hush() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        if !text.contains("cursed") {
            eprintln!("{text}");
        }
    }));
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_failing_entity_parks_only_its_own_operations_until_resolved(
        asks in asks(), repaired_at in 1..60_u64, cuts in cuts(), again in cuts(),
        baked in cuts(),
    ) {
        hush();
        let (events, model) = scene(&asks, repaired_at);
        let paper = Paper::<Cursed>::new(events).executed(&cuts);
        prop_assert_eq!(&paper.statuses(), &model.statuses);
        let parked = model.entities.values().map(|counter| counter.held.len() as u64);
        prop_assert_eq!(paper.checkpoint.parked, parked.sum::<u64>());
        let exist = model.entities.values().filter(|counter| counter.value.is_some()).count();
        prop_assert_eq!(paper.checkpoint.entities, exist as u64);
        for (id, record) in &paper.records {
            let value: i64 = serde_json::from_str(record.state.get()).expect("a number");
            prop_assert_eq!(Some(value), model.entities[id].value);
        }

        // The log alone gives all of it once more.
        let replayed = paper.unexecuted().executed(&again);
        prop_assert_eq!(paper.texts(), replayed.texts());
        prop_assert_eq!(paper.statuses(), replayed.statuses());
        prop_assert_eq!(paper.checkpoint, replayed.checkpoint);

        // And what subscribers hear depends on nothing but the log.
        let (frames, documents) = paper.baked(&baked);
        let (frames_again, documents_again) = replayed.baked(&again);
        prop_assert_eq!(whole(&frames), whole(&frames_again));
        prop_assert_eq!(&documents, &documents_again);
        let (frames_from_log, documents_from_log) = paper.baked_from_the_log(&again);
        prop_assert_eq!(whole(&frames), whole(&frames_from_log));
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

/// A counter that is cursed, and mended by the last of two remedies.
fn mended() -> Vec<LogEntry> {
    hush();
    let retry = Ask::Resolution {
        verb: Verb::Retry,
        is_right: true,
    };
    let asks = [
        (1, Ask::Command(Command::Curse(5))),
        (1, Ask::Command(Command::Take(3))),
        (2, Ask::Command(Command::Add(1))),
        (1, Ask::Command(Command::Take(9))),
        (1, retry),
        (1, retry),
    ];
    scene(&asks, 6).0
}

fn frames(events: Vec<LogEntry>) -> Vec<serde_json::Value> {
    let paper = Paper::<Cursed>::new(events).executed(&[4]);
    let (frames, _) = paper.baked(&[3]);
    let value = |text| serde_json::from_str(text).expect("JSON");
    frames.iter().map(|frame| value(frame.body.get())).collect()
}

#[test]
fn operations_of_other_owners_are_hidden_in_a_resolution() {
    let mut events = mended();
    for (event, owner) in events.iter_mut().zip(["ada", "ada", "ada", "bob"]) {
        event.operation.terms.owner = Some(owner.to_owned());
    }
    let last = frames(events).pop().expect("a frame");
    let settled = last["settled"].as_array().expect("a list");
    let told: Vec<_> = settled.iter().map(|one| one["position"].as_u64()).collect();
    assert_eq!(told, [Some(1), Some(2)]);
}

#[test]
fn the_frame_of_a_resolution_lists_its_results() {
    let frames = frames(mended());
    let kinds: Vec<_> = frames.iter().map(|frame| &frame["type"]).collect();
    let (parked, changed) = ("counter.parked", "counter.changed");
    assert_eq!(
        kinds,
        [parked, parked, changed, parked, "counter.rejected", changed]
    );
    assert_eq!(frames[0]["reason"], "execution failed: cursed");
    assert_eq!(frames[1]["reason"], "position 1 is parked before it");
    let still = "retry failed: execution failed: cursed";
    assert_eq!(frames[4]["reason"], still);
    assert_eq!(frames[5]["counter"]["value"], 2);
    assert_eq!(frames[5]["counter"]["version"], 2);
    let settled = frames[5]["settled"].as_array().expect("a list");
    let told: Vec<_> = settled
        .iter()
        .map(|one| (one["position"].as_u64(), one["status"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Some(1), Some("executed")),
            (Some(2), Some("executed")),
            (Some(4), Some("rejected"))
        ]
    );
    assert_eq!(settled[2]["reason"], "too much");
}

const RETRY: Ask = Ask::Resolution {
    verb: Verb::Retry,
    is_right: true,
};
const DISCARD: Ask = Ask::Resolution {
    verb: Verb::Discard,
    is_right: true,
};

/// Frames of what was asked for by these, in order.
fn frames_of(asks: &[(Option<&str>, u8, Ask)], repaired_at: Position) -> Vec<Frame> {
    hush();
    let only: Vec<_> = asks.iter().map(|(_, id, ask)| (*id, *ask)).collect();
    let (mut events, _) = scene(&only, repaired_at);
    for (event, (owner, ..)) in events.iter_mut().zip(asks) {
        event.operation.terms.owner = owner.map(str::to_owned);
    }
    Paper::<Cursed>::new(events).executed(&[4]).baked(&[3]).0
}

#[test]
fn a_parked_frame_is_visible_to_its_sender() {
    let (ada, bob) = (Some("ada"), Some("bob"));
    let curse = Ask::Command(Command::Curse(5));
    let frames = frames_of(
        &[
            (ada, 1, Ask::Command(Command::Add(9))),
            (ada, 1, curse),
            (bob, 1, Ask::Command(Command::Add(1))),
            (None, 1, Ask::Command(Command::Add(2))),
            (bob, 2, curse),
            // Nothing comes of it but that bob's is refused.
            (None, 2, DISCARD),
            (None, 3, curse),
            (None, 3, DISCARD),
        ],
        1_000,
    );
    let owners: Vec<_> = frames.iter().map(|frame| frame.owner.as_deref()).collect();
    assert_eq!(owners, [ada, ada, bob, ada, bob, bob, None, None]);
}

#[test]
fn the_frame_of_a_resolution_is_named_by_the_last_change_or_the_creation() {
    let asks = |first: Ask| {
        [
            (None, 1, first),
            (None, 1, Ask::Command(Command::Curse(5))),
            (None, 1, Ask::Command(Command::Take(3))),
            (None, 1, RETRY),
        ]
    };
    let kind = |first| frames_of(&asks(first), 4).pop().expect("a frame").kind;
    assert_eq!(kind(Ask::Command(Command::Add(1))), "counter.lowered");
    // Refused, so that what follows brings it into being.
    assert_eq!(kind(Ask::Command(Command::Take(1))), "counter.changed");
}
