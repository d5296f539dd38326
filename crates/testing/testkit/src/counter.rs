//! The smallest domain that can refuse: a counter that never goes below zero.

use bakehouse_engine::{Domain, Entity, Moment, Rejection, Verb};
use serde::{Deserialize, Serialize};

/// A counter. It comes into being with its first addition.
pub struct Counter;

/// What one can ask of a counter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Adds.
    Add(i64),
    /// Takes away; refused below zero, and on a counter that is not there.
    Take(i64),
}

/// What readers get.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The counter's id.
    pub id: String,
    /// Its number.
    pub number: u64,
    /// The position that it includes.
    pub position: u64,
    /// How many changes it includes.
    pub version: u64,
    /// What it counts to.
    pub value: i64,
}

impl Domain for Counter {
    const NAME: &'static str = "counter";
    const SCHEMA_VERSION: u32 = 1;
    // Often enough for every test to come by some.
    const SNAPSHOT_INTERVAL: u64 = 4;
    const CHANGES: &'static [&'static str] = &["raised", "lowered"];
    type Command = Command;
    type Event = i64;
    type State = i64;
    type Document = Document;

    fn verb(_: &Command) -> Verb {
        Verb::Update
    }

    fn decide(state: Option<&i64>, command: Command, _: Moment) -> Result<i64, Rejection> {
        match (state, command) {
            (_, Command::Add(by)) => Ok(by),
            (Some(value), Command::Take(by)) if *value >= by => Ok(-by),
            (Some(value), Command::Take(by)) => {
                Err(Rejection::new(format!("{by} is more than {value}")))
            }
            (None, Command::Take(_)) => Err(Rejection::new("there is no such counter")),
        }
    }

    fn apply(state: Option<i64>, event: i64, _: Moment) -> i64 {
        state.unwrap_or(0) + event
    }

    fn bake(entity: &Entity<i64>) -> Document {
        Document {
            id: entity.id.clone(),
            number: entity.number,
            position: entity.position,
            version: entity.version,
            value: entity.state,
        }
    }

    fn group(value: &i64) -> Option<&str> {
        Some(if value % 2 == 0 { "even" } else { "odd" })
    }

    fn may_change_group(change: &str) -> bool {
        change == "lowered"
    }

    fn change(event: &i64) -> &'static str {
        if *event < 0 { "lowered" } else { "raised" }
    }
}
