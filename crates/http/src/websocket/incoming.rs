//! Messages and events received from a client, and violations by it.

use bytes::Bytes;

/// Message or event received from a client.
#[derive(Debug)]
pub enum Incoming {
    /// Text message.
    Text(String),
    /// Binary message.
    Binary(Bytes),
    /// Ping; must be answered by a pong with the same payload.
    Ping(Bytes),
    /// Pong, solicited or not.
    Pong,
    /// Close; must be answered by a close with the same code, if any. Nothing follows.
    Close(Option<u16>),
    /// The connection is lost; nothing follows.
    Disconnected,
    /// Violation of the protocol or of a limit; nothing that follows is decoded.
    Violation(Violation),
}

/// Violation of the protocol or of a limit by a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Violation of the protocol (1002).
    Protocol(&'static str),
    /// Text that is not UTF-8 (1007).
    NotUtf8,
    /// Too many frames or messages (1008).
    TooMany(&'static str),
    /// Message that is too long (1009).
    TooLong,
}

impl Violation {
    /// Code and reason of the close frame (RFC 6455, section 7.4.1).
    #[must_use]
    pub fn close(self) -> (u16, &'static str) {
        match self {
            Self::Protocol(what) => (1002, what),
            Self::NotUtf8 => (1007, "text that is not UTF-8"),
            Self::TooMany(what) => (1008, what),
            Self::TooLong => (1009, "the message is too long"),
        }
    }
}
