//! cleanup: the comments of a post are deleted with it, those as well that come late.

use bakehouse_host::engine::Timestamp;
use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

use super::domain::{Comments, Document};
use crate::life::Command;

/// The process.
pub(crate) struct Cleanup;

/// What it remembers: which comment belongs to which post, and which posts are gone.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Known {
    Comment { post_id: String, at: Timestamp },
    Gone { post_id: String },
}

fn of_post(id: &str) -> String {
    format!("post:{id}")
}

fn gone(post: &str) -> String {
    format!("gone:{post}")
}

impl ProcessManager for Cleanup {
    const NAME: &'static str = "cleanup";
    const FEEDS: &'static [&'static str] = &["comment", "post"];

    type State = Known;

    fn needs(fact: &FeedEvent) -> Needs {
        let id = &fact.entity_id;
        if fact.feed == "post" {
            return Needs::row(gone(id)).and_linked(of_post(id));
        }
        match fact.document::<Document>() {
            Ok(Some(comment)) => Needs::row(id).and_row(gone(&comment.post_id)),
            _ => Needs::nothing(),
        }
    }

    fn react(fact: &FeedEvent, known: &mut Rows<Known>) -> Result<Vec<Effect>, Failed> {
        let id = &fact.entity_id;
        let delete = |comment: &str| Effect::command::<Comments>(comment, &Command::Delete);
        match (fact.feed.as_str(), fact.change.as_str()) {
            ("post", "created") => known.remove(&gone(id)),
            ("post", "deleted") => {
                known.put(
                    &gone(id),
                    Known::Gone {
                        post_id: id.clone(),
                    },
                );
                // Those that came later are of a post that has taken its title since.
                let mut comments = known.linked(&of_post(id));
                comments.retain(|comment| {
                    let known = known.get(comment);
                    matches!(known, Some(Known::Comment { at, .. }) if *at <= fact.at)
                });
                return comments.iter().map(|comment| delete(comment)).collect();
            }
            ("comment", "deleted") => known.remove(id),
            ("comment", "created") => {
                let Some(Document { post_id, .. }) = fact.document()? else {
                    return Ok(Vec::new());
                };
                let is_late = known.get(&gone(&post_id)).is_some();
                known.put(
                    id,
                    Known::Comment {
                        post_id,
                        at: fact.at,
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
            Known::Comment { post_id, .. } => vec![of_post(post_id)],
            Known::Gone { .. } => Vec::new(),
        }
    }
}
