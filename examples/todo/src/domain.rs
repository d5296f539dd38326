//! Domain of the todo list: its rules, without I/O.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

pub(crate) struct Todos;

#[derive(Serialize, Deserialize)]
pub(crate) enum Command {
    Add(String),
    Finish,
}

pub(crate) enum Event {
    Added(String),
    Finished,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Todo {
    title: String,
    is_done: bool,
}

#[derive(Serialize)]
pub(crate) struct Document {
    id: String,
    title: String,
    done: bool,
}

impl Domain for Todos {
    const NAME: &'static str = "todo";
    const SCHEMA_VERSION: u32 = 1;
    const CHANGES: &'static [&'static str] = &["added", "finished"];

    type Command = Command;
    type Event = Event;
    type State = Todo;
    type Document = Document;

    fn verb(command: &Command) -> Verb {
        match command {
            Command::Add(_) => Verb::Insert,
            Command::Finish => Verb::Update,
        }
    }

    fn decide(todo: Option<&Todo>, command: Command, _: Moment) -> Result<Event, Rejection> {
        match (todo, command) {
            (None, Command::Add(title)) => Ok(Event::Added(title)),
            (Some(todo), Command::Finish) if !todo.is_done => Ok(Event::Finished),
            (Some(_), Command::Finish) => Err(Rejection::new("the todo is done already")),
            (Some(_), Command::Add(_)) => Err(Rejection::new("the todo exists already")),
            (None, Command::Finish) => Err(Rejection::new("there is no such todo")),
        }
    }

    fn apply(todo: Option<Todo>, event: Event, _: Moment) -> Todo {
        let is_done = matches!(event, Event::Finished);
        let title = match event {
            Event::Added(title) => title,
            Event::Finished => todo.map_or_else(String::new, |todo| todo.title),
        };
        Todo { title, is_done }
    }

    fn bake(entity: &Entity<Todo>) -> Document {
        Document {
            id: entity.id.clone(),
            title: entity.state.title.clone(),
            done: entity.state.is_done,
        }
    }

    fn change(event: &Event) -> &'static str {
        match event {
            Event::Added(_) => "added",
            Event::Finished => "finished",
        }
    }
}

#[cfg(test)]
mod tests {
    use bakehouse_testkit::scenario::Scenario;

    use super::*;

    #[test]
    fn a_todo_is_finished_only_once() {
        Scenario::<Todos>::given([Command::Add("Bake".into()), Command::Finish])
            .when(Command::Finish)
            .then_refused("the todo is done already");
    }
}
