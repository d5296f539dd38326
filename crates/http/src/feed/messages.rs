//! The feed's own frames, as JSON text, and its close codes.

use std::collections::BTreeMap;

use bakehouse_engine::Position;
use bakehouse_engine::feed::FeedError;
use serde::Deserialize;
use serde_json::{Value, json};

use super::subscribe_request::{Filter, Since, SubscribeRequest, canonical, kinds};
use crate::api_definition::ApiDefinition;
use crate::response::problem::InputFault;

/// How long, in milliseconds, clients that are sent away may take to come back:
/// each is told another time, so that they do not come all at once.
const COMEBACK: std::ops::Range<u64> = 200..3_000;

/// The first frame of a subscription.
pub(super) fn welcome(epoch: &str, head: Position, heartbeat_s: u64) -> String {
    json!({ "type": "welcome", "epoch": epoch, "head": head, "heartbeat_s": heartbeat_s })
        .to_string()
}

/// Once: everything up to here has been sent.
pub(super) fn live(position: Position) -> String {
    json!({ "type": "live", "position": position }).to_string()
}

/// Lets a client move on whose filter has passed nothing for a while.
pub(super) fn position(position: Position) -> String {
    json!({ "type": "position", "position": position }).to_string()
}

/// A frame of the log for a subscriber whose filter its entity has left: the frame is an object.
pub(super) fn left(frame: &str) -> String {
    let members = frame.trim_end().strip_suffix('}').unwrap_or(frame);
    format!("{members},\"left\":true}}")
}

/// Every heartbeat.
pub(super) fn ping() -> String {
    json!({ "type": "ping" }).to_string()
}

/// Why a subscription ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The client may come back with the position it has.
    GoingAway,
    /// There are as many subscribers as there may be; the client may come back.
    SubscriberLimitExceeded(String),
    /// The client's token has ended; it may come back with a new one.
    Expired,
    /// The client did not read, or did not answer; it may come back.
    TooSlow(Position),
    /// The position cannot be served; the client may start over.
    NotAvailable(String),
    /// The client asked for something that there is not.
    BadRequest(String),
    /// The client has not said who it is, or not so that it can be believed.
    Unauthenticated(String),
    /// The client may not do this.
    Forbidden(String),
}

impl CloseReason {
    /// Of the close frame: below 4400, it is worth coming back.
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::GoingAway | Self::SubscriberLimitExceeded(_) => 4001,
            Self::Expired => 4005,
            Self::TooSlow(_) => 4008,
            Self::NotAvailable(_) => 4010,
            Self::BadRequest(_) => 4400,
            Self::Unauthenticated(_) => 4401,
            Self::Forbidden(_) => 4403,
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::GoingAway => "the server is going away; reconnect with your position".into(),
            Self::Expired => "the token has expired; reconnect with a new one".into(),
            Self::TooSlow(position) => format!("too slow; reconnect with since={position}"),
            Self::SubscriberLimitExceeded(why)
            | Self::NotAvailable(why)
            | Self::BadRequest(why)
            | Self::Unauthenticated(why)
            | Self::Forbidden(why) => why.clone(),
        }
    }

    /// When to come back, in milliseconds, if that is worth while.
    pub(super) fn comeback(&self) -> Option<u64> {
        let is_worth_while = self.code() < 4400;
        is_worth_while.then(|| rand::random_range(COMEBACK))
    }

    /// The frame before the close.
    pub(super) fn frame(&self) -> String {
        let mut frame = json!({
            "type": "error", "code": self.code(), "message": self.message(),
        });
        if let Some(wait) = self.comeback() {
            frame["retry_after_ms"] = Value::from(wait);
        }
        frame.to_string()
    }
}

impl From<FeedError> for CloseReason {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::TooSlow { cursor } => Self::TooSlow(cursor),
            FeedError::Unavailable | FeedError::Store(_) => Self::GoingAway,
            FeedError::OtherEpoch | FeedError::Ahead { .. } => {
                Self::NotAvailable(error.to_string())
            }
        }
    }
}

impl From<Vec<InputFault>> for CloseReason {
    fn from(faults: Vec<InputFault>) -> Self {
        let sentence = |fault: &InputFault| {
            let name = fault.pointer.rsplit('/').next().unwrap_or_default();
            format!("{name}: {}", fault.detail)
        };
        let sentences: Vec<String> = faults.iter().map(sentence).collect();
        Self::BadRequest(sentences.join("; "))
    }
}

/// What a client may send.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum ClientFrame {
    /// The answer to a ping.
    Pong,
    /// Says who the client is, or what it wants from now on, or both.
    Subscribe(Subscribe),
}

/// A frame that subscribes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Subscribe {
    /// A bearer token, for clients that cannot send headers.
    pub(super) token: Option<String>,
    since: Option<Since>,
    epoch: Option<String>,
    /// Types of frames. Called so since `type` is the type of this one.
    types: Vec<String>,
    /// The entity and the group, by the domain's names for them.
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

impl ClientFrame {
    /// Reads a message.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn parse(text: &str) -> Result<Self, CloseReason> {
        serde_json::from_str(text)
            .map_err(|error| CloseReason::BadRequest(format!("this frame cannot be read: {error}")))
    }
}

impl Subscribe {
    /// What it asks for.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn request(mut self, api: &ApiDefinition) -> Result<SubscribeRequest, CloseReason> {
        let kinds = kinds(self.types.iter().map(String::as_str), api);
        let kinds = kinds.map_err(|fault| CloseReason::BadRequest(format!("types: {fault}")))?;
        let entity = self.take(api.entity)?.map(canonical);
        let group = match api.group {
            Some(name) => self.take(name)?,
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

    fn take(&mut self, name: &str) -> Result<Option<String>, CloseReason> {
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
        let request = subscribe.request(&api()).expect("valid");
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
                ClientFrame::Subscribe(subscribe) => subscribe.request(&api()).map(|_| ()),
                ClientFrame::Pong => Ok(()),
            });
            let Err(farewell) = read else {
                panic!("{text} was taken");
            };
            assert_eq!(farewell.code(), 4400);
            assert!(farewell.message().contains(says), "{}", farewell.message());
        }
    }

    #[test]
    fn only_those_who_may_come_back_are_told_when() {
        assert!(CloseReason::GoingAway.frame().contains("retry_after_ms"));
        assert!(
            !CloseReason::BadRequest("no".into())
                .frame()
                .contains("retry")
        );
    }
}
