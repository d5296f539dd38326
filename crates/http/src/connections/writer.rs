//! Writes frames shared by many clients directly to the kernel, without copying them.
//!
//! The HTTP library copies the output of a body into a buffer of the connection, which never
//! shrinks: with thousands of subscribers, one burst would use memory for as long as they stay
//! connected. Shared frames are written to the socket directly instead, all pending ones at once.
//! Only bytes that the kernel does not accept go through the library's buffer, which waits until
//! the socket is writable again.
//!
//! The bytes keep their order because the library polls a body if and only if that buffer is
//! empty: see [`BUFFER_BYTES`].

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::Connection;

/// Number of bytes in the library's buffer from which on it writes them before it polls a body
/// again: with 1, whenever the buffer is not empty.
pub(crate) const BUFFER_BYTES: usize = 1;

/// Maximum number of slices in one write; the kernel accepts at most 1,024.
const MAX_SLICES: usize = 64;

/// Writer to a connection that bypasses the HTTP library.
#[derive(Clone)]
pub(crate) struct SocketWriter(Connection);

impl SocketWriter {
    /// Creates a writer to this connection.
    pub(crate) fn new(connection: Connection) -> Self {
        Self(connection)
    }

    /// Writes as much as the kernel accepts and removes it from `slices`. To be called only when
    /// the library polls the body.
    pub(crate) fn send(&self, slices: &mut VecDeque<Bytes>) {
        send(slices, |batch| self.0.try_write(batch));
    }
}

/// Writes until everything is accepted, or less than offered.
fn send(
    slices: &mut VecDeque<Bytes>,
    mut write: impl FnMut(&[IoSlice<'_>]) -> std::io::Result<usize>,
) {
    while !slices.is_empty() {
        let offered: usize = slices.iter().take(MAX_SLICES).map(Bytes::len).sum();
        let batch: Vec<IoSlice<'_>> = slices
            .iter()
            .take(MAX_SLICES)
            .map(|slice| IoSlice::new(slice))
            .collect();
        // The library meets the same error at its next write.
        let accepted = write(&batch).unwrap_or(0);
        drop_front(slices, accepted);
        if accepted < offered {
            return;
        }
    }
}

/// Removes the first `count` bytes.
fn drop_front(slices: &mut VecDeque<Bytes>, mut count: usize) {
    while let Some(first) = slices.front_mut() {
        if count < first.len() {
            first.advance(count);
            return;
        }
        count -= first.len();
        slices.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    /// Returns non-empty slices of different lengths.
    fn slices() -> VecDeque<Bytes> {
        (1..400_u32)
            .map(|n| Bytes::from(vec![n.to_le_bytes()[0]; (n as usize * 37) % 3_000 + 1]))
            .collect()
    }

    #[test]
    fn everything_arrives_in_order_however_much_is_taken() {
        let expected: Vec<u8> = slices().into_iter().flatten().collect();
        let mut received = Vec::new();
        let mut left = slices();
        let mut calls = 0_usize;
        while !left.is_empty() {
            send(&mut left, |batch| {
                calls += 1;
                if calls.is_multiple_of(3) {
                    return Err(Error::from(ErrorKind::WouldBlock));
                }
                let all: Vec<u8> = batch.iter().flat_map(|slice| slice.to_vec()).collect();
                let taken = all.len().min(calls * 131);
                received.extend_from_slice(&all[..taken]);
                Ok(taken)
            });
            assert!(calls < 10_000, "no progress");
        }
        assert!(received == expected);
    }

    #[test]
    fn nothing_is_lost_where_nothing_is_taken() {
        let mut rest = slices();
        drop_front(&mut rest, 0);
        assert_eq!(rest, slices());
        let first = slices()[0].len();
        drop_front(&mut rest, first + 1);
        let all: usize = slices().iter().map(Bytes::len).sum();
        let left: usize = rest.iter().map(Bytes::len).sum();
        assert_eq!(left, all - first - 1);
    }
}
