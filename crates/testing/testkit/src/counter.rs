//! The smallest domain that can reject commands: a counter that never goes below zero.

use bakehouse_engine::{Domain, Entity, Moment, Rejection, Verb};
use serde::{Deserialize, Serialize};

/// Domain of counters. The first addition creates a counter.
pub struct Counter;

/// Command on a counter.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Adds to the value.
    Add(i64),
    /// Subtracts from the value; rejected if the result is negative or the counter does not exist.
    Take(i64),
}

/// Document of a counter.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Id of the counter.
    pub id: String,
    /// Number of the counter.
    pub number: u64,
    /// Log position up to which the document is current.
    pub position: u64,
    /// Number of changes applied.
    pub version: u64,
    /// Value of the counter.
    pub value: i64,
}

impl Domain for Counter {
    const NAME: &'static str = "counter";
    const SCHEMA_VERSION: u32 = 1;
    // Small enough for most tests to include snapshots.
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
