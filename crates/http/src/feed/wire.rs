//! The feed's own frames, as JSON text, and its close codes.

use actix_ws::{CloseCode, CloseReason};
use bakehouse_pipeline::Position;
use serde::Deserialize;
use serde_json::json;

/// The first frame.
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

/// Every heartbeat.
pub(super) fn ping() -> String {
    json!({ "type": "ping" }).to_string()
}

/// Why the socket is about to be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// The client may come back with the position it has.
    GoingAway,
    /// The client's token has ended; it may come back with a new one.
    Expired,
    /// The client did not read, or did not answer; it may come back.
    TooSlow(Position),
    /// The position cannot be served; the client may start over.
    NotAvailable(String),
    /// The client asked for something that there is not.
    BadRequest(String),
    /// The client closed, or is gone.
    Gone,
}

impl Farewell {
    fn code(&self) -> u16 {
        match self {
            Self::GoingAway => 4001,
            Self::Expired => 4005,
            Self::TooSlow(_) => 4008,
            Self::NotAvailable(_) => 4010,
            Self::BadRequest(_) => 4400,
            Self::Gone => 1000,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::GoingAway => "the server is going away; reconnect with your position".into(),
            Self::Expired => "the token has expired; reconnect with a new one".into(),
            Self::TooSlow(position) => format!("too slow; reconnect with since={position}"),
            Self::NotAvailable(why) | Self::BadRequest(why) => why.clone(),
            Self::Gone => String::new(),
        }
    }

    /// The frame before the close.
    pub(super) fn frame(&self) -> String {
        json!({ "type": "error", "code": self.code(), "message": self.message() }).to_string()
    }

    /// A close frame's reason has room for 123 bytes.
    pub(super) fn reason(&self) -> CloseReason {
        let mut text = self.message();
        while text.len() > 123 {
            text.pop();
        }
        CloseReason {
            code: CloseCode::from(self.code()),
            description: Some(text),
        }
    }
}

/// What a client may send.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum ClientFrame {
    /// The answer to a ping.
    Pong,
}
