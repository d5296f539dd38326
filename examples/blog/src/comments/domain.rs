//! What a comment is: the rules, without any I/O.

use bakehouse_kitchen::prelude::*;
use serde::{Deserialize, Serialize};

use super::view::CommentView;
use crate::content::{Content, required, required_id};
use crate::life::{Life, admit};

/// The domain.
pub(crate) struct Comments;

/// A comment.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Comment {
    post_id: String,
    author_id: String,
    text: String,
}

/// What one can ask for.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Command {
    Create(Comment),
    Update { text: String },
    Delete,
}

/// What readers of the feed get.
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
    const CHANGES: &'static [&'static str] = &["created", "updated", "deleted"];

    type Command = Command;
    type Event = Command;
    type State = Life<Comment>;
    type Document = Document;

    fn verb(command: &Command) -> Verb {
        match command {
            Command::Create(_) => Verb::Insert,
            Command::Update { .. } => Verb::Update,
            Command::Delete => Verb::Delete,
        }
    }

    fn decide(
        comment: Option<&Life<Comment>>,
        command: Command,
        _: Moment,
    ) -> Result<Command, Rejection> {
        let taken = "there is a comment of this id already";
        admit(comment, Self::verb(&command), taken).map(|()| command)
    }

    fn apply(comment: Option<Life<Comment>>, event: Command, _: Moment) -> Life<Comment> {
        match (event, comment) {
            (Command::Create(content), _) => Life::of(content),
            (Command::Update { text }, Some(mut comment)) => {
                comment.content.text = text;
                comment
            }
            (Command::Delete, Some(comment)) => comment.ended(),
            (_, None) => unreachable!("decided for a comment that is there"),
        }
    }

    fn bake(entity: &Entity<Life<Comment>>) -> Document {
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

    fn change(event: &Command) -> &'static str {
        match event {
            Command::Create(_) => "created",
            Command::Update { .. } => "updated",
            Command::Delete => "deleted",
        }
    }
}

impl Content for Comments {
    type View = CommentView;

    fn create(body: &[u8]) -> Result<Command, Faults> {
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

    fn update(body: &[u8]) -> Result<Command, Faults> {
        read(body, &["text"], |members, faults| {
            let text = required(members, "text", 2_000, faults)?;
            Some(Command::Update { text })
        })
    }

    fn delete() -> Command {
        Command::Delete
    }
}
