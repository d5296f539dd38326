//! What earlier versions of a program have written is read as what it means today,
//! what later ones write is set aside; and the log stays as it is.

use std::collections::HashMap;

use bakehouse_pipeline::execute::execute;
use bakehouse_pipeline::ports::{Checkpoint, Verdict};
use bakehouse_pipeline::{Domain, Entity, Event, Moment, Operation, Rejection, Verb, to_json};
use bakehouse_testkit::operations::operation;
use bakehouse_testkit::scenario::at;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Lengths, which were written in metres once, and then as text.
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

fn event(position: u64, schema_version: u32, payload: &Value) -> Event {
    let operation = Operation {
        schema_version,
        payload: to_json(payload).expect("JSON"),
        ..operation("a", payload)
    };
    Event::stored(position, at(position), operation)
}

#[test]
fn every_version_that_there_was_is_read() {
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
fn what_is_of_no_version_that_there_was_is_set_aside() {
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
