//! cleanup: a process manager that deletes the comments of a deleted post, including comments that
//! arrive later.

use bakehouse_host::engine::Timestamp;
use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

use super::domain::{Comments, Document};
use crate::lifecycle::Command;

/// Process manager of the cleanup.
pub(crate) struct Cleanup;

/// State: the post of each comment, and the deleted posts.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Known {
    Comment { post_id: String, at: Timestamp },
    Gone { post_id: String },
}

/// Returns the link of all comments of a post.
fn post_link(id: &str) -> String {
    format!("post:{id}")
}

/// Returns the key of the row of a deleted post.
fn deleted_post_key(post: &str) -> String {
    format!("gone:{post}")
}

impl ProcessManager for Cleanup {
    const NAME: &'static str = "cleanup";
    const FEEDS: &'static [&'static str] = &["comment", "post"];

    type State = Known;

    fn needs(event: &FeedEvent) -> Needs {
        let id = &event.entity_id;
        if event.feed == "post" {
            return Needs::row(deleted_post_key(id)).and_linked(post_link(id));
        }
        match event.document::<Document>() {
            Ok(Some(comment)) => Needs::row(id).and_row(deleted_post_key(&comment.post_id)),
            _ => Needs::nothing(),
        }
    }

    fn react(event: &FeedEvent, known: &mut Rows<Known>) -> Result<Vec<Effect>, HandlerError> {
        let id = &event.entity_id;
        let delete = |comment: &str| Effect::command::<Comments>(comment, &Command::Delete);
        match (event.feed.as_str(), event.change.as_str()) {
            ("post", "created") => known.remove(&deleted_post_key(id)),
            ("post", "deleted") => {
                known.put(
                    &deleted_post_key(id),
                    Known::Gone {
                        post_id: id.clone(),
                    },
                );
                // Later comments belong to a new post with the same title, and thus the same id.
                let mut comments = known.linked(&post_link(id));
                comments.retain(|comment| {
                    let known = known.get(comment);
                    matches!(known, Some(Known::Comment { at, .. }) if *at <= event.at)
                });
                return comments.iter().map(|comment| delete(comment)).collect();
            }
            ("comment", "deleted") => known.remove(id),
            ("comment", "created") => {
                let Some(Document { post_id, .. }) = event.document()? else {
                    return Ok(Vec::new());
                };
                let is_late = known.get(&deleted_post_key(&post_id)).is_some();
                known.put(
                    id,
                    Known::Comment {
                        post_id,
                        at: event.at,
                    },
                );
                if is_late {
                    return Ok(vec![delete(id)?]);
                }
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    fn links(known: &Known) -> Vec<String> {
        match known {
            Known::Comment { post_id, .. } => vec![post_link(post_id)],
            Known::Gone { .. } => Vec::new(),
        }
    }
}
