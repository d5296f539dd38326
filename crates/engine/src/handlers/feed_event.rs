//! Event of a feed: one frame, parsed for handlers.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::HandlerError;
use crate::{Frame, Json, Position, Timestamp};

/// Event at one position of one feed.
#[derive(Clone, Debug)]
pub struct FeedEvent {
    /// Name of the feed, which is the domain's name: `order` in `order.created`.
    pub feed: String,
    /// Position in the feed.
    pub position: Position,
    /// Kind of the change: `created`, `rejected`, …
    pub change: String,
    /// Id of the entity.
    pub entity_id: String,
    /// Operation that caused the event.
    pub operation_id: Uuid,
    /// Time of the event.
    pub at: Timestamp,
    document: Option<Json>,
}

#[derive(Deserialize)]
struct FrameHeader {
    operation_id: Uuid,
    at: Timestamp,
}

impl FeedEvent {
    /// Parses a frame.
    ///
    /// # Errors
    /// [`serde_json::Error`] if the body is not that of a frame.
    pub fn of(frame: &Frame) -> Result<Self, serde_json::Error> {
        let header: FrameHeader = serde_json::from_str(frame.body.get())?;
        let members: HashMap<&str, &RawValue> = serde_json::from_str(frame.body.get())?;
        let (feed, change) = frame.kind.split_once('.').unwrap_or((&frame.kind, ""));
        let document = members.get(feed).map(|raw| Json::from((*raw).to_owned()));
        Ok(Self {
            feed: feed.to_owned(),
            position: frame.position,
            change: change.to_owned(),
            entity_id: frame.entity_id.clone(),
            operation_id: header.operation_id,
            at: header.at,
            document,
        })
    }

    /// Returns the document as of this position; `None` if the entity did not change because the
    /// operation was rejected or parked.
    ///
    /// # Errors
    /// [`HandlerError`] if the document is not a `T`.
    pub fn document<T: DeserializeOwned>(&self) -> Result<Option<T>, HandlerError> {
        let document = self.document.as_ref();
        let parsed = document.map(|json| serde_json::from_str(json.get()));
        Ok(parsed.transpose()?)
    }

    /// Checks whether the event changed the document.
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
    fn a_change_has_its_document_and_a_rejection_none() {
        let event =
            FeedEvent::of(&frame("note.made", json!({ "note": { "a": 1 } }))).expect("an event");
        assert_eq!(
            (event.feed.as_str(), event.change.as_str()),
            ("note", "made")
        );
        let document: Option<serde_json::Value> = event.document().ok().flatten();
        assert_eq!(document, Some(json!({ "a": 1 })));
        let rejected = frame("note.rejected", json!({ "reason": "no" }));
        assert!(!FeedEvent::of(&rejected).expect("an event").is_change());
    }
}
