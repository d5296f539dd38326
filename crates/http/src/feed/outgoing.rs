//! Bytes queued for one subscriber. They are written to the socket directly, as far as the kernel
//! takes them; the rest goes through the HTTP library, which waits until the socket is writable.

use std::collections::VecDeque;

use actix_web::HttpRequest;
use bytes::Bytes;

use crate::connections::{Connection, SocketWriter};

/// Queue of bytes for one subscriber.
pub(super) struct Outgoing {
    /// Direct writer to the socket; `None` if the request has no tracked connection, as in tests.
    writer: Option<SocketWriter>,
    unsent: VecDeque<Bytes>,
}

impl Outgoing {
    /// Creates an empty queue for the client of a request.
    pub(super) fn new(request: &HttpRequest) -> Self {
        let connection = request.conn_data::<Connection>().cloned();
        Self {
            writer: connection.map(SocketWriter::new),
            unsent: VecDeque::new(),
        }
    }

    /// Appends bytes to the queue.
    pub(super) fn extend(&mut self, bytes: impl IntoIterator<Item = Bytes>) {
        self.unsent.extend(bytes);
    }

    /// Writes to the socket what the kernel takes, and returns the bytes that the HTTP library
    /// has to send next, if any are left. Must be called only when the library asks for more.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        if let Some(writer) = &self.writer {
            writer.send(&mut self.unsent);
        }
        self.unsent.pop_front()
    }
}
