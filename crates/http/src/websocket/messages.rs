//! What a client sends, message by message.

use actix_web::body::BoxBody;
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseReason, ProtocolError};
use bytes::Bytes;
use futures_util::StreamExt;

use super::guard::{Verdict, Violation};

/// What came.
#[derive(Debug)]
pub enum Incoming {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Bytes),
    /// To be answered by a pong.
    Ping(Bytes),
    /// The answer to a ping, or just a sign of life.
    Pong,
    /// To be answered by a close, with this code if it has one; nothing follows.
    Close(Option<u16>),
    /// The connection is gone; nothing follows.
    Gone,
    /// Something that is not allowed; nothing that follows is looked at.
    Violation(Violation),
}

/// A client's messages.
pub struct Messages {
    stream: AggregatedMessageStream,
    verdict: Verdict,
    /// The stream ends when this does.
    _body: BoxBody,
}

impl Messages {
    pub(super) fn new(stream: AggregatedMessageStream, verdict: Verdict, body: BoxBody) -> Self {
        Self {
            stream,
            verdict,
            _body: body,
        }
    }

    /// Waits for the next one. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Incoming {
        match self.stream.next().await {
            Some(Ok(AggregatedMessage::Text(text))) => Incoming::Text(text.to_string()),
            Some(Ok(AggregatedMessage::Binary(bytes))) => Incoming::Binary(bytes),
            Some(Ok(AggregatedMessage::Ping(bytes))) => Incoming::Ping(bytes),
            Some(Ok(AggregatedMessage::Pong(_))) => Incoming::Pong,
            Some(Ok(AggregatedMessage::Close(reason))) => Incoming::Close(code(reason)),
            Some(Err(error)) => self.failed(&error),
            None => self
                .verdict
                .get()
                .map_or(Incoming::Gone, Incoming::Violation),
        }
    }

    /// The guard has let it pass: only what text must be is left to be broken,
    /// or else the connection.
    fn failed(&self, error: &ProtocolError) -> Incoming {
        if let Some(violation) = self.verdict.get() {
            return Incoming::Violation(violation);
        }
        match error {
            ProtocolError::Io(error) if error.kind() != std::io::ErrorKind::InvalidData => {
                Incoming::Gone
            }
            _ => Incoming::Violation(Violation::NotUtf8),
        }
    }
}

fn code(reason: Option<CloseReason>) -> Option<u16> {
    reason.map(|reason| reason.code.into())
}
