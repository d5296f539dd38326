//! Control frames of the feed as JSON text, client frames, and close codes.

use std::collections::BTreeMap;

use bakehouse_engine::Position;
use bakehouse_engine::feed::FeedError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::subscribe_request::{Filter, Since, SubscribeRequest, canonical, kinds};
use crate::api_definition::ApiDefinition;
use crate::response::problem::InputFault;

/// Range of the delay, in milliseconds, after which disconnected clients should reconnect. Each
/// client gets a random delay, so that they do not reconnect all at once.
const RECONNECT_DELAY_MS: std::ops::Range<u64> = 200..3_000;

/// First frame of a subscription.
pub(super) fn welcome(epoch: &str, head: Position, heartbeat_s: u64) -> String {
    json!({ "type": "welcome", "epoch": epoch, "head": head, "heartbeat_s": heartbeat_s })
        .to_string()
}

/// Frame that is sent once, when the subscription has caught up with the feed at this position.
pub(super) fn live(position: Position) -> String {
    json!({ "type": "live", "position": position }).to_string()
}

/// Frame that advances the position of a client whose filter has passed no frames for a while.
pub(super) fn position(position: Position) -> String {
    json!({ "type": "position", "position": position }).to_string()
}

/// Frame of the log, which is a JSON object, marked for a subscriber whose filter no longer
/// includes the entity.
pub(super) fn left(frame: &str) -> String {
    let members = frame.trim_end().strip_suffix('}').unwrap_or(frame);
    format!("{members},\"left\":true}}")
}

/// Frame of a heartbeat.
pub(super) fn ping() -> String {
    json!({ "type": "ping" }).to_string()
}

/// Reason for which the server ends a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The server shuts down, or its store or the token issuer does not answer; the client may
    /// reconnect with its position.
    Unavailable,
    /// A subscriber limit has been reached; the client may reconnect.
    SubscriberLimitExceeded(String),
    /// The client's token has expired; it may reconnect with a new one.
    Expired,
    /// The client did not read or respond in time; it may reconnect.
    TooSlow(Position),
    /// The position cannot be served; the client may start over without it.
    NotAvailable(String),
    /// The client's request is invalid.
    BadRequest(String),
    /// The client sent no token, or an invalid one.
    Unauthenticated(String),
    /// The client lacks a permission.
    Forbidden(String),
}

impl CloseReason {
    /// Code of the close frame; below 4400, the client may reconnect.
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::Unavailable | Self::SubscriberLimitExceeded(_) => 4001,
            Self::Expired => 4005,
            Self::TooSlow(_) => 4008,
            Self::NotAvailable(_) => 4010,
            Self::BadRequest(_) => 4400,
            Self::Unauthenticated(_) => 4401,
            Self::Forbidden(_) => 4403,
        }
    }

    /// Explanation for the client.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Unavailable => {
                "the server cannot serve the feed now; reconnect with your position".into()
            }
            Self::Expired => "the token has expired; reconnect with a new one".into(),
            Self::TooSlow(position) => format!("too slow; reconnect with since={position}"),
            Self::SubscriberLimitExceeded(why)
            | Self::NotAvailable(why)
            | Self::BadRequest(why)
            | Self::Unauthenticated(why)
            | Self::Forbidden(why) => why.clone(),
        }
    }

    /// Delay before the client should reconnect, in milliseconds; `None` if it should not.
    pub(super) fn reconnect_delay_ms(&self) -> Option<u64> {
        let may_reconnect = self.code() < 4400;
        may_reconnect.then(|| rand::random_range(RECONNECT_DELAY_MS))
    }

    /// Error frame that precedes the close.
    pub(super) fn frame(&self) -> String {
        let mut frame = json!({
            "type": "error", "code": self.code(), "message": self.message(),
        });
        if let Some(delay) = self.reconnect_delay_ms() {
            frame["retry_after_ms"] = Value::from(delay);
        }
        frame.to_string()
    }
}

impl From<FeedError> for CloseReason {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::TooSlow { cursor } => Self::TooSlow(cursor),
            FeedError::Unavailable | FeedError::Store(_) => Self::Unavailable,
            FeedError::OtherEpoch | FeedError::Ahead { .. } => {
                Self::NotAvailable(error.to_string())
            }
        }
    }
}

impl From<Vec<InputFault>> for CloseReason {
    fn from(faults: Vec<InputFault>) -> Self {
        let describe = |fault: &InputFault| {
            let name = fault.pointer.rsplit('/').next().unwrap_or_default();
            format!("{name}: {}", fault.detail)
        };
        let descriptions: Vec<String> = faults.iter().map(describe).collect();
        Self::BadRequest(descriptions.join("; "))
    }
}

/// Frame that a client may send.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum ClientFrame {
    /// Response to a ping.
    Pong,
    /// Token, new subscription, or both.
    Subscribe(Subscribe),
}

/// Content of a `subscribe` frame.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Subscribe {
    /// Bearer token, for clients that cannot send headers.
    pub(super) token: Option<String>,
    since: Option<Since>,
    epoch: Option<String>,
    /// Types of frames; not named `type`, which is the type of the frame itself.
    types: Vec<String>,
    /// Remaining members: the entity and the group, by the domain's names for them.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

impl ClientFrame {
    /// Parses a message.
    ///
    /// # Errors
    /// [`CloseReason::BadRequest`] that names the first invalid member.
    pub(super) fn parse(text: &str) -> Result<Self, CloseReason> {
        serde_json::from_str(text).map_err(|_| CloseReason::BadRequest(explain(text)))
    }
}

/// Explains why a message is not a client frame.
fn explain(text: &str) -> String {
    let Ok(frame) = serde_json::from_str::<Value>(text) else {
        return "frame: expected JSON".to_owned();
    };
    let Some(members) = frame.as_object() else {
        return format!("frame: expected an object, found {}", found(&frame));
    };
    let member = |name: &str| members.get(name).unwrap_or(&Value::Null);
    let kind = member("type");
    if !matches!(kind.as_str(), Some("pong" | "subscribe")) {
        return format!("type: expected pong or subscribe, found {}", found(kind));
    }
    for name in ["token", "epoch"] {
        let value = member(name);
        if !value.is_null() && !value.is_string() {
            return format!("{name}: expected text, found {}", found(value));
        }
    }
    let since = member("since");
    if !since.is_null()
        && let Err(fault) = Since::from_json(since)
    {
        return format!("since: {fault}");
    }
    let is_list_of_texts = |value: &Value| {
        let items = value.as_array();
        items.is_some_and(|items| items.iter().all(Value::is_string))
    };
    match members.get("types") {
        Some(types) if !is_list_of_texts(types) => {
            format!("types: expected a list of texts, found {}", found(types))
        }
        _ => "frame: a member is given more than once".to_owned(),
    }
}

/// Describes a JSON value that was found instead of the expected one.
fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

impl Subscribe {
    /// Converts the frame into the subscription that it asks for.
    ///
    /// # Errors
    /// [`CloseReason::BadRequest`] that names the first invalid member.
    pub(super) fn into_request(
        mut self,
        api: &ApiDefinition,
    ) -> Result<SubscribeRequest, CloseReason> {
        let kinds = kinds(self.types.iter().map(String::as_str), api);
        let kinds = kinds.map_err(|fault| CloseReason::BadRequest(format!("types: {fault}")))?;
        let entity = self.take_text(api.entity)?.map(canonical);
        let group = match api.group {
            Some(name) => self.take_text(name)?,
            None => None,
        };
        if let Some(unknown) = self.others.keys().next() {
            let known: Vec<&str> = [api.entity].into_iter().chain(api.group).collect();
            let why = format!(
                "{unknown}: unknown member; known are token, since, epoch, types, {}",
                known.join(", ")
            );
            return Err(CloseReason::BadRequest(why));
        }
        let mut request = SubscribeRequest {
            since: None,
            epoch: self.epoch,
            filter: Filter {
                entity,
                group,
                kinds,
            },
        };
        if let Some(since) = self.since {
            request.resume(since);
        }
        Ok(request)
    }

    /// Removes a text member; `None` if it is absent or `null`.
    fn take_text(&mut self, name: &str) -> Result<Option<String>, CloseReason> {
        match self.others.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(CloseReason::BadRequest(format!("{name}: expected text"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_definition::tests::api;

    #[test]
    fn frames_of_clients_are_read_whole_or_not_at_all() {
        assert!(matches!(
            ClientFrame::parse(r#"{"type":"pong"}"#),
            Ok(ClientFrame::Pong)
        ));
        let text = r#"{"type":"subscribe","since":3,"types":["order.created"],"token":"t"}"#;
        let Ok(ClientFrame::Subscribe(subscribe)) = ClientFrame::parse(text) else {
            panic!("{text}");
        };
        assert_eq!(subscribe.token.as_deref(), Some("t"));
        let request = subscribe.into_request(&api()).expect("valid");
        assert_eq!((request.since, request.filter.kinds.len()), (Some(3), 1));
        for (text, says) in [
            ("nonsense", "expected"),
            (r#"{"type":"shout"}"#, "shout"),
            (r#"{"type":"subscribe","sinse":1}"#, "sinse"),
            (r#"{"type":"subscribe","order":7}"#, "order: expected text"),
            (r#"{"type":"subscribe","since":-1}"#, "expected a position"),
            (
                r#"{"type":"subscribe","types":["order.paid"]}"#,
                "types: expected order.created",
            ),
        ] {
            let read = ClientFrame::parse(text).and_then(|frame| match frame {
                ClientFrame::Subscribe(subscribe) => subscribe.into_request(&api()).map(|_| ()),
                ClientFrame::Pong => Ok(()),
            });
            let Err(reason) = read else {
                panic!("{text} was accepted");
            };
            assert_eq!(reason.code(), 4400);
            assert!(reason.message().contains(says), "{}", reason.message());
        }
    }

    #[test]
    fn invalid_frames_are_explained_in_words_of_the_protocol() {
        for (text, expected) in [
            ("nonsense", "frame: expected JSON"),
            (r#"{"type":"pong"} x"#, "frame: expected JSON"),
            ("[7]", "frame: expected an object, found a list"),
            (
                r#"{"type":"shout"}"#,
                "type: expected pong or subscribe, found \"shout\"",
            ),
            ("{}", "type: expected pong or subscribe, found nothing"),
            (r#"{"type":7}"#, "type: expected pong or subscribe, found 7"),
            (
                r#"{"type":"subscribe","token":7}"#,
                "token: expected text, found 7",
            ),
            (
                r#"{"type":"subscribe","epoch":{}}"#,
                "epoch: expected text, found an object",
            ),
            (
                r#"{"type":"subscribe","since":-1}"#,
                "since: expected a position (0, 1, 2, …), or EPOCH:POSITION as text",
            ),
            (
                r#"{"type":"subscribe","since":"x"}"#,
                "since: expected a position (0, 1, 2, …), or EPOCH:POSITION, found \"x\"",
            ),
            (
                r#"{"type":"subscribe","types":"order.created"}"#,
                "types: expected a list of texts, found \"order.created\"",
            ),
            (
                r#"{"type":"subscribe","types":[7]}"#,
                "types: expected a list of texts, found a list",
            ),
            (
                r#"{"type":"subscribe","epoch":"a","epoch":"b"}"#,
                "frame: a member is given more than once",
            ),
        ] {
            let reason = ClientFrame::parse(text).expect_err(text);
            assert_eq!(reason, CloseReason::BadRequest(expected.into()), "{text}");
        }
    }

    #[test]
    fn only_clients_that_may_reconnect_get_a_delay() {
        assert!(CloseReason::Unavailable.frame().contains("retry_after_ms"));
        assert!(
            !CloseReason::BadRequest("no".into())
                .frame()
                .contains("retry")
        );
    }
}
