//! What a feed says: frames, and words about itself.

use std::collections::HashMap;

use bakehouse_engine::ports::Head;
use bakehouse_engine::{Frame, Json};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// One event of the stream.
pub(crate) enum Message {
    /// The first: which log it is, and how far it has come.
    Welcome(Head),
    /// Everything that there was has been sent.
    Live,
    /// Something happened.
    Frame(Frame),
    /// The other side ends it, for this reason.
    CloseReason(String),
    /// A sign of life.
    Ping,
}

impl Message {
    /// Of an event's data.
    pub(crate) fn parse(data: &str) -> Result<Self, serde_json::Error> {
        let members: Members<'_> = serde_json::from_str(data)?;
        let kind: String = member(&members, "type")?;
        let Some((name, _)) = kind.split_once('.') else {
            return Ok(match kind.as_str() {
                "welcome" => Self::Welcome(Head {
                    epoch: member(&members, "epoch")?,
                    position: member(&members, "head")?,
                }),
                "live" => Self::Live,
                "error" => Self::CloseReason(member(&members, "message")?),
                _ => Self::Ping,
            });
        };
        let body = RawValue::from_string(data.to_owned())?;
        Ok(Self::Frame(Frame {
            position: member(&members, "position")?,
            entity_id: member(&members, &format!("{name}_id"))?,
            owner: None,
            group: None,
            left_group: None,
            body: Json::from(body),
            kind,
        }))
    }
}

type Members<'a> = HashMap<&'a str, &'a RawValue>;

/// What is missing reads as `null`.
fn member<T: DeserializeOwned>(members: &Members<'_>, name: &str) -> serde_json::Result<T> {
    serde_json::from_str(members.get(name).map_or("null", |raw| raw.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_from_words_about_the_feed() {
        let data = r#"{"type":"user.created","position":3,"user_id":"u","user":{"a":1}}"#;
        let Ok(Message::Frame(frame)) = Message::parse(data) else {
            panic!("no frame");
        };
        assert_eq!((frame.position, frame.entity_id.as_str()), (3, "u"));
        assert_eq!(frame.body.get(), data);
        assert!(matches!(
            Message::parse(r#"{"type":"welcome","epoch":"e","head":1}"#),
            Ok(Message::Welcome(head)) if head.epoch == "e" && head.position == 1
        ));
        assert!(matches!(
            Message::parse(r#"{"type":"ping"}"#),
            Ok(Message::Ping)
        ));
        assert!(Message::parse(r#"{"type":"user.created"}"#).is_err());
    }
}
