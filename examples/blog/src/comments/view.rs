//! What readers get of comments: with their authors' full names, whichever comes first.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

use super::domain::Document;
use crate::authors::{self, author, repair};
use crate::content::ALL;

/// comments: those that have not been deleted.
pub(crate) struct CommentView;

/// A comment, or who may have written one.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Row {
    Comment(Comment),
    Author { full_name: String },
}

/// What readers get.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Comment {
    id: String,
    post_id: String,
    text: String,
    author_id: String,
    /// `null`: nobody knows, or not yet.
    author_full_name: Option<String>,
}

impl ReadModel for CommentView {
    const NAME: &'static str = "comments";
    const VERSION: u32 = 1;
    const FEEDS: &'static [&'static str] = &["comment", "user"];

    type Row = Row;

    fn needs(fact: &FeedEvent) -> Needs {
        let id = &fact.entity_id;
        if fact.feed == "user" {
            return authors::needs(fact);
        }
        match fact.document::<Document>() {
            Ok(Some(comment)) => Needs::row(id).and_row(author(&comment.author_id)),
            _ => Needs::nothing(),
        }
    }

    fn apply(fact: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), Failed> {
        if fact.feed == "user" && fact.is_change() {
            return repair(fact, rows, renamed, |full_name| Row::Author { full_name });
        }
        let Some(document) = fact.document::<Document>()? else {
            return Ok(());
        };
        let Document {
            id,
            post_id,
            author_id,
            text,
        } = document;
        if fact.change == "deleted" {
            rows.remove(&id);
            return Ok(());
        }
        let author_full_name = match rows.get(&author(&author_id)) {
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
            Row::Comment(comment) => vec![ALL.to_owned(), author(&comment.author_id)],
            Row::Author { .. } => Vec::new(),
        }
    }
}

fn renamed(row: Row, author_full_name: Option<String>) -> Row {
    match row {
        Row::Comment(known) => Row::Comment(Comment {
            author_full_name,
            ..known
        }),
        other => other,
    }
}
