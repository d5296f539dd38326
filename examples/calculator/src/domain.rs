//! Domain of values: its rules, without I/O.

use std::ops::RangeInclusive;

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

/// Range of whole numbers that every JSON parser represents exactly (RFC 8259, section 6).
pub(crate) const EXACT: RangeInclusive<i64> = -9_007_199_254_740_991..=9_007_199_254_740_991;

/// Domain of values.
pub(crate) struct Calculator;

/// Command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Creates a value.
    Create(i64),
    /// Applies an operator with an operand to a value.
    Apply(Operator, i64),
}

/// Arithmetic operator.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Operator {
    /// Addition.
    Add,
    /// Multiplication.
    Multiply,
}

/// Event, with the new value.
pub(crate) enum Event {
    Created(i64),
    Updated(i64),
}

/// Document that the API returns.
#[derive(Debug, Serialize)]
pub(crate) struct Document {
    value: i64,
}

impl Domain for Calculator {
    const NAME: &'static str = "value";
    const SCHEMA_VERSION: u32 = 1;
    const CHANGES: &'static [&'static str] = &["created", "updated"];

    type Command = Command;
    type Event = Event;
    type State = i64;
    type Document = Document;

    fn verb(command: &Command) -> Verb {
        match command {
            Command::Create(_) => Verb::Insert,
            Command::Apply(..) => Verb::Update,
        }
    }

    fn decide(value: Option<&i64>, command: Command, _: Moment) -> Result<Event, Rejection> {
        match (value, command) {
            (None, Command::Create(value)) => Ok(Event::Created(value)),
            (Some(_), Command::Create(_)) => Err(Rejection::new("the value exists already")),
            (None, Command::Apply(..)) => Err(Rejection::new("there is no such value")),
            (Some(value), Command::Apply(operator, by)) => {
                let result = match operator {
                    Operator::Add => value.checked_add(by),
                    Operator::Multiply => value.checked_mul(by),
                };
                let exact = result.filter(|result| EXACT.contains(result));
                let too_large = || Rejection::new("the result would be too large to be exact");
                exact.map(Event::Updated).ok_or_else(too_large)
            }
        }
    }

    fn apply(_: Option<i64>, event: Event, _: Moment) -> i64 {
        match event {
            Event::Created(value) | Event::Updated(value) => value,
        }
    }

    fn bake(entity: &Entity<i64>) -> Document {
        Document {
            value: entity.state,
        }
    }

    fn change(event: &Event) -> &'static str {
        match event {
            Event::Created(_) => "created",
            Event::Updated(_) => "updated",
        }
    }
}

#[cfg(test)]
mod tests {
    use bakehouse_testkit::scenario::Scenario;
    use serde_json::json;

    use super::*;

    #[test]
    fn two_and_two_by_three_are_twelve() {
        Scenario::<Calculator>::given([Command::Create(2), Command::Apply(Operator::Add, 2)])
            .when(Command::Apply(Operator::Multiply, 3))
            .then_changed("updated")
            .then_document(&json!({ "value": 12 }));
    }

    #[test]
    fn what_is_not_there_cannot_be_changed() {
        Scenario::<Calculator>::given([])
            .when(Command::Apply(Operator::Add, 1))
            .then_refused("there is no such value");
    }

    #[test]
    fn what_would_not_be_exact_is_refused() {
        Scenario::<Calculator>::given([Command::Create(*EXACT.end())])
            .when(Command::Apply(Operator::Add, 1))
            .then_refused("the result would be too large to be exact")
            .then_document(&json!({ "value": EXACT.end() }));
    }
}
