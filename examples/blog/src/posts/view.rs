//! Read model of posts with their authors' names and numbers of comments; events of the three feeds
//! may arrive in any order.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

use super::domain::Document;
use crate::authors::{self, author_key, update_author_name};
use crate::content::ALL;

/// Read model `posts`: all posts that are not deleted.
pub(crate) struct PostView;

/// Row: a post, an author of posts, or the number of comments on a post.
#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Row {
    Post(Post),
    Author { author_name: String },
    Count { comments: u64 },
}

/// Post that the API returns.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Post {
    id: String,
    title: String,
    text: String,
    author_id: String,
    /// `null` if the author does not exist or is not known yet.
    author_name: Option<String>,
    comments: u64,
}

/// Part of a comment's document that the read model needs.
#[derive(Deserialize)]
struct Comment {
    post_id: String,
}

/// Returns the key of the row with the number of comments on a post.
fn count_key(post: &str) -> String {
    format!("count:{post}")
}

impl ReadModel for PostView {
    const NAME: &'static str = "posts";
    const VERSION: u32 = 1;
    const FEEDS: &'static [&'static str] = &["post", "user", "comment"];

    type Row = Row;

    fn needs(event: &FeedEvent) -> Needs {
        let id = &event.entity_id;
        match event.feed.as_str() {
            "user" => authors::needs(event),
            "comment" => match event.document::<Comment>() {
                Ok(Some(Comment { post_id })) => Needs::row(count_key(&post_id)).and_row(post_id),
                _ => Needs::nothing(),
            },
            _ => match event.document::<Document>() {
                Ok(Some(post)) => {
                    let needs = Needs::row(id).and_row(count_key(id));
                    needs.and_row(author_key(&post.author_id))
                }
                _ => Needs::nothing(),
            },
        }
    }

    fn apply(event: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), HandlerError> {
        if !event.is_change() {
            return Ok(());
        }
        match event.feed.as_str() {
            "user" => update_author_name(event, rows, with_author_name, |author_name| {
                Row::Author { author_name }
            }),
            "comment" => apply_comment(event, rows),
            _ => apply_post(event, rows),
        }
    }

    fn links(row: &Row) -> Vec<String> {
        match row {
            Row::Post(post) => vec![ALL.to_owned(), author_key(&post.author_id)],
            Row::Author { .. } | Row::Count { .. } => Vec::new(),
        }
    }
}

fn apply_post(event: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), HandlerError> {
    let Some(document) = event.document::<Document>()? else {
        return Ok(());
    };
    let Document {
        id,
        title,
        text,
        author_id,
    } = document;
    if event.change == "deleted" {
        rows.remove(&id);
        return Ok(());
    }
    let author_name = match rows.get(&author_key(&author_id)) {
        Some(Row::Author { author_name }) => Some(author_name.clone()),
        _ => None,
    };
    let comments = comment_count(rows, &id);
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

fn comment_count(rows: &mut Rows<Row>, post: &str) -> u64 {
    match rows.get(&count_key(post)) {
        Some(Row::Count { comments }) => *comments,
        _ => 0,
    }
}

/// Returns the row with another author's name.
fn with_author_name(row: Row, author_name: Option<String>) -> Row {
    match row {
        Row::Post(post) => Row::Post(Post {
            author_name,
            ..post
        }),
        other => other,
    }
}

fn apply_comment(event: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), HandlerError> {
    let Some(Comment { post_id }) = event.document()? else {
        return Ok(());
    };
    let before = comment_count(rows, &post_id);
    let comments = match event.change.as_str() {
        "created" => before + 1,
        "deleted" => before.saturating_sub(1),
        _ => before,
    };
    rows.put(&count_key(&post_id), Row::Count { comments });
    if let Some(Row::Post(post)) = rows.get(&post_id).cloned() {
        rows.put(&post_id, Row::Post(Post { comments, ..post }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bakehouse_testkit::feed_sources::{event, project};
    use serde_json::{Value, json};

    use super::*;

    fn events() -> Vec<FeedEvent> {
        let post = json!({ "id": "p", "title": "Hello", "text": "World", "author_id": "u" });
        let user = |name: &str| json!({ "full_name": name });
        let comment = json!({ "post_id": "p" });
        vec![
            event(1, "post.created", "p", &post),
            event(1, "user.created", "u", &user("Ada Byron")),
            event(2, "user.updated", "u", &user("Ada Lovelace")),
            event(1, "comment.created", "a", &comment),
            event(2, "comment.created", "b", &comment),
            event(3, "comment.deleted", "a", &comment),
            event(4, "comment.rejected", "c", &Value::Null),
        ]
    }

    /// Collects all orders in which the events of the three feeds can arrive.
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
                let mut remaining = feeds.to_vec();
                remaining[index] = rest.to_vec();
                so_far.push(first.clone());
                interleavings(&remaining, so_far, all);
                so_far.pop();
            }
        }
    }

    #[test]
    fn the_order_of_the_feeds_does_not_matter() {
        let of = |feed: &str| -> Vec<FeedEvent> {
            events()
                .into_iter()
                .filter(|event| event.feed == feed)
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
        for events in all {
            assert_eq!(project::<PostView>(&events)["p"], expected, "{events:?}");
        }
    }
}
