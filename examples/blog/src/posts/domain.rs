//! What a post is: the rules, without any I/O.

use bakehouse_kitchen::prelude::*;
use serde::{Deserialize, Serialize};

use super::view::PostView;
use crate::content::{Content, required, required_id};
use crate::life::{Life, admit};

/// The domain.
pub(crate) struct Posts;

/// A post; its title is what it is found by, and stays.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Post {
    title: String,
    text: String,
    author_id: String,
}

/// What one can ask for.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Command {
    Create(Post),
    Update { text: String },
    Delete,
}

/// What readers of the feed get.
#[derive(Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) author_id: String,
}

impl Domain for Posts {
    const NAME: &'static str = "post";
    const SCHEMA_VERSION: u32 = 1;
    const CHANGES: &'static [&'static str] = &["created", "updated", "deleted"];

    type Command = Command;
    type Event = Command;
    type State = Life<Post>;
    type Document = Document;

    fn verb(command: &Command) -> Verb {
        match command {
            Command::Create(_) => Verb::Insert,
            Command::Update { .. } => Verb::Update,
            Command::Delete => Verb::Delete,
        }
    }

    fn decide(
        post: Option<&Life<Post>>,
        command: Command,
        _: Moment,
    ) -> Result<Command, Rejection> {
        let taken = "there is a post of this title already";
        admit(post, Self::verb(&command), taken).map(|()| command)
    }

    fn apply(post: Option<Life<Post>>, event: Command, _: Moment) -> Life<Post> {
        match (event, post) {
            (Command::Create(content), _) => Life::of(content),
            (Command::Update { text }, Some(mut post)) => {
                post.content.text = text;
                post
            }
            (Command::Delete, Some(post)) => post.ended(),
            (_, None) => unreachable!("decided for a post that is there"),
        }
    }

    fn bake(entity: &Entity<Life<Post>>) -> Document {
        let Post {
            title,
            text,
            author_id,
        } = entity.state.content.clone();
        Document {
            id: entity.id.clone(),
            title,
            text,
            author_id,
        }
    }

    fn change(event: &Command) -> &'static str {
        match event {
            Command::Create(_) => "created",
            Command::Update { .. } => "updated",
            Command::Delete => "deleted",
        }
    }
}

impl Content for Posts {
    type View = PostView;

    fn create(body: &[u8]) -> Result<Command, Faults> {
        read(body, &["title", "text", "author_id"], |members, faults| {
            let title = required(members, "title", 200, faults);
            let text = required(members, "text", 10_000, faults);
            let author_id = required_id(members, "author_id", faults);
            let post = Post {
                title: title?,
                text: text?,
                author_id: author_id?,
            };
            Some(Command::Create(post))
        })
    }

    fn update(body: &[u8]) -> Result<Command, Faults> {
        read(body, &["text"], |members, faults| {
            let text = required(members, "text", 10_000, faults)?;
            Some(Command::Update { text })
        })
    }

    fn delete() -> Command {
        Command::Delete
    }

    fn name(command: &Command) -> Option<&str> {
        match command {
            Command::Create(post) => Some(&post.title),
            _ => None,
        }
    }
}
