//! Bytes on their way to a subscriber: to the kernel as they are, as far as it takes them, and
//! for the rest by way of the HTTP library, which waits until it takes more.

use std::collections::VecDeque;

use actix_web::HttpRequest;
use bytes::Bytes;

use crate::connections::{Connection, SocketWriter};

/// Bytes that are to be sent.
pub(super) struct Outgoing {
    /// Past the HTTP library; none where the connection is not one of ours, as in tests.
    writer: Option<SocketWriter>,
    unsent: VecDeque<Bytes>,
}

impl Outgoing {
    /// To the sender of this request.
    pub(super) fn new(request: &HttpRequest) -> Self {
        let connection = request.conn_data::<Connection>().cloned();
        Self {
            writer: connection.map(SocketWriter::new),
            unsent: VecDeque::new(),
        }
    }

    /// Adds what comes next.
    pub(super) fn extend(&mut self, bytes: impl IntoIterator<Item = Bytes>) {
        self.unsent.extend(bytes);
    }

    /// Sends what the kernel takes; what the library is to send next, if anything is left. To
    /// be called only where the library asks for more.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        if let Some(writer) = &self.writer {
            writer.send(&mut self.unsent);
        }
        self.unsent.pop_front()
    }
}
