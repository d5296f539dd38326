//! Read model of comments with their authors' full names; events may arrive in any order.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

use super::domain::Document;
use crate::authors::{self, author_key, update_author_name};
use crate::content::ALL;

/// Read model `comments`: all comments that are not deleted.
pub(crate) struct CommentView;

/// Row: a comment, or the author of comments.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Row {
    Comment(Comment),
    Author { full_name: String },
}

/// Comment that the API returns.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Comment {
    id: String,
    post_id: String,
    text: String,
    author_id: String,
    /// `null` if the author does not exist or is not known yet.
    author_full_name: Option<String>,
}

impl ReadModel for CommentView {
    const NAME: &'static str = "comments";
    const VERSION: u32 = 1;
    const FEEDS: &'static [&'static str] = &["comment", "user"];

    type Row = Row;

    fn needs(event: &FeedEvent) -> Needs {
        let id = &event.entity_id;
        if event.feed == "user" {
            return authors::needs(event);
        }
        match event.document::<Document>() {
            Ok(Some(comment)) => Needs::row(id).and_row(author_key(&comment.author_id)),
            _ => Needs::nothing(),
        }
    }

    fn apply(event: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), HandlerError> {
        if event.feed == "user" && event.is_change() {
            return update_author_name(event, rows, with_author_name, |full_name| Row::Author {
                full_name,
            });
        }
        let Some(document) = event.document::<Document>()? else {
            return Ok(());
        };
        let Document {
            id,
            post_id,
            author_id,
            text,
        } = document;
        if event.change == "deleted" {
            rows.remove(&id);
            return Ok(());
        }
        let author_full_name = match rows.get(&author_key(&author_id)) {
            Some(Row::Author { full_name }) => Some(full_name.clone()),
            _ => None,
        };
        let key = id.clone();
        let comment = Comment {
            id,
            post_id,
            text,
            author_id,
            author_full_name,
        };
        rows.put(&key, Row::Comment(comment));
        Ok(())
    }

    fn links(row: &Row) -> Vec<String> {
        match row {
            Row::Comment(comment) => vec![ALL.to_owned(), author_key(&comment.author_id)],
            Row::Author { .. } => Vec::new(),
        }
    }
}

/// Returns the row with another author's name.
fn with_author_name(row: Row, author_full_name: Option<String>) -> Row {
    match row {
        Row::Comment(comment) => Row::Comment(Comment {
            author_full_name,
            ..comment
        }),
        other => other,
    }
}
