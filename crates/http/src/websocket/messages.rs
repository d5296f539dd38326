//! Messages of a client.

use std::time::Instant;

use actix_web::dev::Payload;
use bytes::Bytes;
use futures_util::StreamExt;

use super::decoder::{Decoder, Limits};
use super::incoming::{Incoming, Violation};

/// Stream of a client's messages.
pub struct Messages {
    payload: Payload,
    decoder: Decoder,
    /// Bytes received and not decoded yet.
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

    /// Waits for the next message. Cancel-safe.
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
                Some(Err(_)) | None => return Incoming::Disconnected,
            }
        }
    }
}
