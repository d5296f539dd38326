//! A fact: one frame of a feed, as handlers see it.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Failed;
use crate::{Frame, Json, Position, Timestamp};

/// What happened at one position of one feed.
#[derive(Clone, Debug)]
pub struct FeedEvent {
    /// Whose feed: the domain's name, as in `order` of `order.created`.
    pub feed: String,
    /// Where in it.
    pub position: Position,
    /// What, in a word: `created`, `rejected`, …
    pub change: String,
    /// Whom it concerns.
    pub entity_id: String,
    /// Which operation led to it.
    pub operation_id: Uuid,
    /// When.
    pub at: Timestamp,
    document: Option<Json>,
}

#[derive(Deserialize)]
struct Told {
    operation_id: Uuid,
    at: Timestamp,
}

impl FeedEvent {
    /// Of a frame.
    ///
    /// # Errors
    /// When the frame is not of the form that frames have.
    pub fn of(frame: &Frame) -> Result<Self, serde_json::Error> {
        let told: Told = serde_json::from_str(frame.body.get())?;
        let members: HashMap<&str, &RawValue> = serde_json::from_str(frame.body.get())?;
        let (feed, change) = frame.kind.split_once('.').unwrap_or((&frame.kind, ""));
        let document = members.get(feed).map(|raw| Json::from((*raw).to_owned()));
        Ok(Self {
            feed: feed.to_owned(),
            position: frame.position,
            change: change.to_owned(),
            entity_id: frame.entity_id.clone(),
            operation_id: told.operation_id,
            at: told.at,
            document,
        })
    }

    /// The document as of this position; `None` where nothing changed: a refusal,
    /// something set aside.
    ///
    /// # Errors
    /// When it is not of the form `T`.
    pub fn document<T: DeserializeOwned>(&self) -> Result<Option<T>, Failed> {
        let document = self.document.as_ref();
        let parsed = document.map(|json| serde_json::from_str(json.get()));
        Ok(parsed.transpose()?)
    }

    /// Whether there is a document of another form than before.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.document.is_some()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::to_json;

    fn frame(kind: &str, extra: serde_json::Value) -> Frame {
        let mut body = json!({
            "type": kind, "position": 7, "at": "2026-01-01T12:00:00.000Z",
            "operation_id": "0190f5fe-0000-7000-8000-000000000001",
        });
        for (name, value) in extra.as_object().expect("an object") {
            body[name] = value.clone();
        }
        Frame {
            position: 7,
            kind: kind.into(),
            entity_id: "e".into(),
            owner: None,
            group: None,
            left_group: None,
            body: to_json(&body).expect("JSON"),
        }
    }

    #[test]
    fn a_change_has_its_document_and_a_refusal_none() {
        let fact =
            FeedEvent::of(&frame("note.made", json!({ "note": { "a": 1 } }))).expect("a fact");
        assert_eq!((fact.feed.as_str(), fact.change.as_str()), ("note", "made"));
        let document: Option<serde_json::Value> = fact.document().ok().flatten();
        assert_eq!(document, Some(json!({ "a": 1 })));
        let refused = frame("note.rejected", json!({ "reason": "no" }));
        assert!(!FeedEvent::of(&refused).expect("a fact").is_change());
    }
}
