//! Domain of posts: its rules, without I/O.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

use crate::content::{Content, required, required_id};
use crate::lifecycle::{CHANGES, Command, Deletable};

/// Domain of posts.
pub(crate) struct Posts;

/// Post; its title is unique and does not change.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Post {
    title: String,
    text: String,
    author_id: String,
}

/// Document on the feed.
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
    const CHANGES: &'static [&'static str] = CHANGES;

    type Command = Command<Post>;
    type Event = Command<Post>;
    type State = Deletable<Post>;
    type Document = Document;

    fn verb(command: &Command<Post>) -> Verb {
        command.verb()
    }

    fn decide(
        post: Option<&Deletable<Post>>,
        command: Command<Post>,
        _: Moment,
    ) -> Result<Command<Post>, Rejection> {
        command.decide(post, "a post with this title exists already")
    }

    fn apply(post: Option<Deletable<Post>>, event: Command<Post>, _: Moment) -> Deletable<Post> {
        event.apply(post, |post| &mut post.text)
    }

    fn bake(entity: &Entity<Deletable<Post>>) -> Document {
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

    fn change(event: &Command<Post>) -> &'static str {
        event.change()
    }
}

impl Content for Posts {
    fn create(body: &[u8]) -> Result<Command<Post>, Faults> {
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

    fn update(body: &[u8]) -> Result<Command<Post>, Faults> {
        read(body, &["text"], |members, faults| {
            let text = required(members, "text", 10_000, faults)?;
            Some(Command::Update(text))
        })
    }

    fn delete() -> Command<Post> {
        Command::Delete
    }

    fn unique_name(command: &Command<Post>) -> Option<&str> {
        match command {
            Command::Create(post) => Some(&post.title),
            _ => None,
        }
    }
}
