//! Domain of comments: its rules, without I/O.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

use crate::content::{Content, required, required_id};
use crate::lifecycle::{CHANGES, Command, Deletable};

/// Domain of comments.
pub(crate) struct Comments;

/// A comment.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Comment {
    post_id: String,
    author_id: String,
    text: String,
}

/// Document on the feed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) post_id: String,
    pub(crate) author_id: String,
    pub(crate) text: String,
}

impl Domain for Comments {
    const NAME: &'static str = "comment";
    const SCHEMA_VERSION: u32 = 1;
    const CHANGES: &'static [&'static str] = CHANGES;

    type Command = Command<Comment>;
    type Event = Command<Comment>;
    type State = Deletable<Comment>;
    type Document = Document;

    fn verb(command: &Command<Comment>) -> Verb {
        command.verb()
    }

    fn decide(
        comment: Option<&Deletable<Comment>>,
        command: Command<Comment>,
        _: Moment,
    ) -> Result<Command<Comment>, Rejection> {
        command.decide(comment, "a comment with this id exists already")
    }

    fn apply(
        comment: Option<Deletable<Comment>>,
        event: Command<Comment>,
        _: Moment,
    ) -> Deletable<Comment> {
        event.apply(comment, |comment| &mut comment.text)
    }

    fn bake(entity: &Entity<Deletable<Comment>>) -> Document {
        let Comment {
            post_id,
            author_id,
            text,
        } = entity.state.content.clone();
        Document {
            id: entity.id.clone(),
            post_id,
            author_id,
            text,
        }
    }

    fn change(event: &Command<Comment>) -> &'static str {
        event.change()
    }
}

impl Content for Comments {
    fn create(body: &[u8]) -> Result<Command<Comment>, Faults> {
        read(
            body,
            &["post_id", "author_id", "text"],
            |members, faults| {
                let post_id = required_id(members, "post_id", faults);
                let author_id = required_id(members, "author_id", faults);
                let text = required(members, "text", 2_000, faults);
                let comment = Comment {
                    post_id: post_id?,
                    author_id: author_id?,
                    text: text?,
                };
                Some(Command::Create(comment))
            },
        )
    }

    fn update(body: &[u8]) -> Result<Command<Comment>, Faults> {
        read(body, &["text"], |members, faults| {
            let text = required(members, "text", 2_000, faults)?;
            Some(Command::Update(text))
        })
    }

    fn delete() -> Command<Comment> {
        Command::Delete
    }
}
