//! What readers get of posts: with their authors' names and how many comments there
//! are, whichever of the three comes first.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

use super::domain::Document;
use crate::authors::{self, author, repair};
use crate::content::ALL;

/// posts: those that have not been deleted.
pub(crate) struct PostView;

/// A post, or what may belong to one.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Row {
    Post(Post),
    Author { author_name: String },
    Count { comments: u64 },
}

/// What readers get.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Post {
    id: String,
    title: String,
    text: String,
    author_id: String,
    /// `null`: nobody knows, or not yet.
    author_name: Option<String>,
    comments: u64,
}

/// What a comment's event tells.
#[derive(Deserialize)]
struct Comment {
    post_id: String,
}

fn count(post: &str) -> String {
    format!("count:{post}")
}

impl ReadModel for PostView {
    const NAME: &'static str = "posts";
    const VERSION: u32 = 1;
    const FEEDS: &'static [&'static str] = &["post", "user", "comment"];

    type Row = Row;

    fn needs(fact: &FeedEvent) -> Needs {
        let id = &fact.entity_id;
        match fact.feed.as_str() {
            "user" => authors::needs(fact),
            "comment" => match fact.document::<Comment>() {
                Ok(Some(Comment { post_id })) => Needs::row(count(&post_id)).and_row(post_id),
                _ => Needs::nothing(),
            },
            _ => match fact.document::<Document>() {
                Ok(Some(post)) => {
                    let known = Needs::row(id).and_row(count(id));
                    known.and_row(author(&post.author_id))
                }
                _ => Needs::nothing(),
            },
        }
    }

    fn apply(fact: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), Failed> {
        if !fact.is_change() {
            return Ok(());
        }
        match fact.feed.as_str() {
            "user" => repair(fact, rows, renamed, |author_name| Row::Author {
                author_name,
            }),
            "comment" => commented(fact, rows),
            _ => posted(fact, rows),
        }
    }

    fn links(row: &Row) -> Vec<String> {
        match row {
            Row::Post(post) => vec![ALL.to_owned(), author(&post.author_id)],
            Row::Author { .. } | Row::Count { .. } => Vec::new(),
        }
    }
}

fn posted(fact: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), Failed> {
    let Some(document) = fact.document::<Document>()? else {
        return Ok(());
    };
    let Document {
        id,
        title,
        text,
        author_id,
    } = document;
    if fact.change == "deleted" {
        rows.remove(&id);
        return Ok(());
    }
    let author_name = match rows.get(&author(&author_id)) {
        Some(Row::Author { author_name }) => Some(author_name.clone()),
        _ => None,
    };
    let comments = counted(rows, &id);
    let key = id.clone();
    let post = Post {
        id,
        title,
        text,
        author_id,
        author_name,
        comments,
    };
    rows.put(&key, Row::Post(post));
    Ok(())
}

fn counted(rows: &mut Rows<Row>, post: &str) -> u64 {
    match rows.get(&count(post)) {
        Some(Row::Count { comments }) => *comments,
        _ => 0,
    }
}

fn renamed(row: Row, author_name: Option<String>) -> Row {
    match row {
        Row::Post(known) => Row::Post(Post {
            author_name,
            ..known
        }),
        other => other,
    }
}

fn commented(fact: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), Failed> {
    let Some(Comment { post_id }) = fact.document()? else {
        return Ok(());
    };
    let before = counted(rows, &post_id);
    let comments = match fact.change.as_str() {
        "created" => before + 1,
        "deleted" => before.saturating_sub(1),
        _ => before,
    };
    rows.put(&count(&post_id), Row::Count { comments });
    if let Some(Row::Post(known)) = rows.get(&post_id).cloned() {
        rows.put(&post_id, Row::Post(Post { comments, ..known }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bakehouse_testkit::feed_sources::{fact, project};
    use serde_json::{Value, json};

    use super::*;

    fn events() -> Vec<FeedEvent> {
        let post = json!({ "id": "p", "title": "Hello", "text": "World", "author_id": "u" });
        let user = |name: &str| json!({ "full_name": name });
        let comment = json!({ "post_id": "p" });
        vec![
            fact(1, "post.created", "p", &post),
            fact(1, "user.created", "u", &user("Ada Byron")),
            fact(2, "user.updated", "u", &user("Ada Lovelace")),
            fact(1, "comment.created", "a", &comment),
            fact(2, "comment.created", "b", &comment),
            fact(3, "comment.deleted", "a", &comment),
            fact(4, "comment.rejected", "c", &Value::Null),
        ]
    }

    /// All orders in which the three feeds can come.
    fn interleavings(
        feeds: &[Vec<FeedEvent>],
        so_far: &mut Vec<FeedEvent>,
        all: &mut Vec<Vec<FeedEvent>>,
    ) {
        if feeds.iter().all(Vec::is_empty) {
            all.push(so_far.clone());
        }
        for index in 0..feeds.len() {
            if let Some((first, rest)) = feeds[index].split_first() {
                let mut left = feeds.to_vec();
                left[index] = rest.to_vec();
                so_far.push(first.clone());
                interleavings(&left, so_far, all);
                so_far.pop();
            }
        }
    }

    #[test]
    fn it_does_not_matter_what_comes_first() {
        let of = |feed: &str| -> Vec<FeedEvent> {
            events()
                .into_iter()
                .filter(|fact| fact.feed == feed)
                .collect()
        };
        let mut all = Vec::new();
        interleavings(
            &["post", "user", "comment"].map(of),
            &mut Vec::new(),
            &mut all,
        );
        assert_eq!(all.len(), 105);
        let expected = json!({ "id": "p", "title": "Hello", "text": "World", "author_id": "u",
            "author_name": "Ada Lovelace", "comments": 1 });
        for order in all {
            assert_eq!(project::<PostView>(&order)["p"], expected, "{order:?}");
        }
    }
}
