//! Domain of users: its rules, without I/O.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

use crate::content::{Content, required};
use crate::lifecycle::{CHANGES, Command, Deletable};

/// Domain of users.
pub(crate) struct Users;

/// User; the user name is unique and does not change.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct User {
    username: String,
    full_name: String,
}

/// Document on the feed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) full_name: String,
}

impl Domain for Users {
    const NAME: &'static str = "user";
    const SCHEMA_VERSION: u32 = 1;
    const CHANGES: &'static [&'static str] = CHANGES;

    type Command = Command<User>;
    type Event = Command<User>;
    type State = Deletable<User>;
    type Document = Document;

    fn verb(command: &Command<User>) -> Verb {
        command.verb()
    }

    fn decide(
        user: Option<&Deletable<User>>,
        command: Command<User>,
        _: Moment,
    ) -> Result<Command<User>, Rejection> {
        command.decide(user, "this user name is taken")
    }

    fn apply(user: Option<Deletable<User>>, event: Command<User>, _: Moment) -> Deletable<User> {
        event.apply(user, |user| &mut user.full_name)
    }

    fn bake(entity: &Entity<Deletable<User>>) -> Document {
        let User {
            username,
            full_name,
        } = entity.state.content.clone();
        Document {
            id: entity.id.clone(),
            username,
            full_name,
        }
    }

    fn change(event: &Command<User>) -> &'static str {
        event.change()
    }
}

impl Content for Users {
    fn create(body: &[u8]) -> Result<Command<User>, Faults> {
        read(body, &["username", "full_name"], |members, faults| {
            let username = required(members, "username", 50, faults);
            let full_name = required(members, "full_name", 100, faults);
            Some(Command::Create(User {
                username: username?,
                full_name: full_name?,
            }))
        })
    }

    fn update(body: &[u8]) -> Result<Command<User>, Faults> {
        read(body, &["full_name"], |members, faults| {
            let full_name = required(members, "full_name", 100, faults)?;
            Some(Command::Update(full_name))
        })
    }

    fn delete() -> Command<User> {
        Command::Delete
    }

    fn unique_name(command: &Command<User>) -> Option<&str> {
        match command {
            Command::Create(user) => Some(&user.username),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use bakehouse_testkit::scenario::Scenario;

    use super::*;

    fn create(full_name: &str) -> Command<User> {
        let (username, full_name) = ("ada".to_owned(), full_name.to_owned());
        Command::Create(User {
            username,
            full_name,
        })
    }

    #[test]
    fn a_user_name_is_taken_until_the_user_is_deleted() {
        Scenario::<Users>::given([create("Ada")])
            .when(create("Another"))
            .then_refused("this user name is taken");
        Scenario::<Users>::given([create("Ada"), Command::Delete])
            .when(create("Another"))
            .then_changed("created");
        Scenario::<Users>::given([create("Ada"), Command::Delete])
            .when(Command::Delete)
            .then_refused("there is nothing with this id");
    }
}
