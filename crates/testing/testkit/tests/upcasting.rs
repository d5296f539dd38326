//! Upcasting: commands of earlier schema versions are read as current ones, those of later versions
//! are parked, and the log does not change.

use std::collections::HashMap;

use bakehouse_engine::ports::{Checkpoint, Verdict};
use bakehouse_engine::stages::execute::execute;
use bakehouse_engine::{Domain, Entity, LogEntry, Moment, Operation, Rejection, Verb, to_json};
use bakehouse_testkit::cases::cases;
use bakehouse_testkit::operations::operation;
use bakehouse_testkit::scenario::at;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Domain of lengths: version 1 has metres as a number, version 2 as text, version 3 millimetres.
struct Lengths;

#[derive(Serialize, Deserialize)]
struct Add {
    millimetres: i64,
}

impl Domain for Lengths {
    const NAME: &'static str = "counter";
    const SCHEMA_VERSION: u32 = 3;
    const CHANGES: &'static [&'static str] = &["added"];
    type Command = Add;
    type Event = i64;
    type State = i64;
    type Document = i64;

    fn verb(_: &Add) -> Verb {
        Verb::Update
    }

    fn upcast(version: u32, payload: &str) -> serde_json::Result<Add> {
        #[derive(Deserialize)]
        struct Metres<T> {
            metres: T,
        }
        let metres: i64 = if version == 1 {
            serde_json::from_str::<Metres<i64>>(payload)?.metres
        } else {
            let text = serde_json::from_str::<Metres<String>>(payload)?.metres;
            text.parse().map_err(serde::de::Error::custom)?
        };
        Ok(Add {
            millimetres: metres * 1_000,
        })
    }

    fn decide(_: Option<&i64>, command: Add, _: Moment) -> Result<i64, Rejection> {
        Ok(command.millimetres)
    }

    fn apply(state: Option<i64>, event: i64, _: Moment) -> i64 {
        state.unwrap_or(0) + event
    }

    fn bake(entity: &Entity<i64>) -> i64 {
        entity.state
    }

    fn change(_: &i64) -> &'static str {
        "added"
    }
}

fn event(position: u64, schema_version: u32, payload: &Value) -> LogEntry {
    let operation = Operation {
        schema_version,
        payload: to_json(payload).expect("JSON"),
        ..operation("a", payload)
    };
    LogEntry::stored(position, at(position), operation)
}

#[test]
fn every_earlier_version_is_read() {
    let events = [
        event(1, 1, &json!({ "metres": 1 })),
        event(2, 2, &json!({ "metres": "20" })),
        event(3, 3, &json!({ "millimetres": 300 })),
    ];
    let start = Checkpoint::default();
    let execution = execute::<Lengths>(start, &events, HashMap::new(), Vec::new(), at(3));
    let execution = execution.expect("a sound log");
    assert_eq!(execution.entities[0].record.state.get(), "21300");
    assert_eq!(execution.to.parked, 0);
}

#[test]
fn an_unknown_version_is_parked() {
    let events = [
        event(1, 3, &json!({ "millimetres": 1 })),
        event(2, 2, &json!({ "metres": 20 })),
        event(3, 4, &json!({ "miles": 1 })),
    ];
    let start = Checkpoint::default();
    let execution = execute::<Lengths>(start, &events, HashMap::new(), Vec::new(), at(3));
    let execution = execution.expect("a sound log");
    let is_parked = |verdict: &Verdict| matches!(verdict, Verdict::Parked { .. });
    let parked: Vec<bool> = execution.verdicts.iter().map(is_parked).collect();
    assert_eq!(parked, [false, true, true]);
    assert_eq!(execution.entities[0].record.state.get(), "1");
}

proptest! {
    #![proptest_config(cases(400))]

    /// In a log of all versions, in any order and with unknown ones, the state is the sum of the
    /// commands before the first unreadable one.
    #[test]
    fn a_log_of_mixed_versions_is_read_as_what_it_means(
        written in prop::collection::vec((1..=4_u32, 0..1_000_i64), 1..20), size in 1..9_usize,
    ) {
        let one = |(version, length): &(u32, i64), position| {
            let payload = match version {
                1 => json!({ "metres": length }),
                2 => json!({ "metres": length.to_string() }),
                _ => json!({ "millimetres": length }),
            };
            event(position, *version, &payload)
        };
        let events: Vec<LogEntry> = written.iter().zip(1..).map(|(one_of, at)| one(one_of, at)).collect();
        let readable: Vec<_> = written.iter().take_while(|(version, _)| *version < 4).collect();
        let metres = |(version, length): &&(u32, i64)| if *version < 3 { length * 1_000 } else { *length };
        let (mut from, mut records, mut ever_parked) = (Checkpoint::default(), HashMap::new(), Vec::new());
        for batch in events.chunks(size) {
            let execution = execute::<Lengths>(from, batch, records.clone(), ever_parked.clone(), at(99));
            let execution = execution.expect("a sound log");
            for write in execution.entities {
                records.insert(write.record.id.clone(), write.record);
            }
            for (event, verdict) in batch.iter().zip(&execution.verdicts) {
                let mut event = event.clone();
                verdict.apply_to(&mut event);
                if event.was_parked() {
                    ever_parked.push(event);
                }
            }
            from = execution.to;
        }
        prop_assert_eq!(from.parked, (written.len() - readable.len()) as u64);
        let state = records.get("a").map(|record| record.state.get().to_owned());
        let expected: i64 = readable.iter().map(metres).sum();
        prop_assert_eq!(state, (!readable.is_empty()).then(|| expected.to_string()));
    }
}
