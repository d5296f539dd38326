//! What a client sends, message by message.

use std::time::Instant;

use actix_web::dev::Payload;
use bytes::Bytes;
use futures_util::StreamExt;

use super::decoder::{Decoder, Limits, Violation};

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
    payload: Payload,
    decoder: Decoder,
    /// Bytes that have come and not been decoded.
    bytes: Bytes,
    violation: Option<Violation>,
}

impl Messages {
    pub(super) fn new(payload: Payload, limits: Limits) -> Self {
        Self {
            payload,
            decoder: Decoder::new(limits, Instant::now()),
            bytes: Bytes::new(),
            violation: None,
        }
    }

    /// Waits for the next one. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Incoming {
        loop {
            if let Some(violation) = self.violation {
                return Incoming::Violation(violation);
            }
            match self.decoder.decode(&mut self.bytes) {
                Ok(Some(incoming)) => return incoming,
                Ok(None) => {}
                Err(violation) => {
                    self.violation = Some(violation);
                    self.bytes = Bytes::new();
                    continue;
                }
            }
            match self.payload.next().await {
                Some(Ok(bytes)) => self.bytes = bytes,
                Some(Err(_)) | None => return Incoming::Gone,
            }
        }
    }
}
