//! Messages of a feed: frames, and messages about the feed itself.

use std::collections::HashMap;

use bakehouse_engine::ports::Head;
use bakehouse_engine::{Frame, Json};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// Message of a feed: the data of one server-sent event.
pub(crate) enum Message {
    /// First message: epoch and head of the log.
    Welcome(Head),
    /// All earlier frames have been sent; the following ones are new.
    Live,
    /// Frame of an event.
    Frame(Frame),
    /// Reason for which the server closes the connection.
    CloseReason(String),
    /// Keep-alive, or a message of an unknown type.
    Ping,
}

impl Message {
    /// Parses the data of an event.
    ///
    /// # Errors
    /// A text that names the missing or invalid member.
    pub(crate) fn parse(data: &str) -> Result<Self, String> {
        let no_object = |_| "message: not a JSON object".to_owned();
        let members: Members<'_> = serde_json::from_str(data).map_err(no_object)?;
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
        let body = RawValue::from_string(data.to_owned());
        let body = body.map_err(|_| "message: not valid JSON".to_owned())?;
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

/// Reads a member; a missing one counts as `null`.
fn member<T: DeserializeOwned>(members: &Members<'_>, name: &str) -> Result<T, String> {
    let value = members.get(name).map_or("null", |raw| raw.get());
    serde_json::from_str(value).map_err(|_| format!("message: member {name}: missing or invalid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_messages_about_the_feed_are_distinguished() {
        let data = r#"{"type":"user.created","position":3,"user_id":"u","user":{"a":1}}"#;
        let Ok(Message::Frame(frame)) = Message::parse(data) else {
            panic!("not a frame");
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
