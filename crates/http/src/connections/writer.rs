//! Sends frames that many clients get to the kernel as they are.
//!
//! The HTTP library copies what a body yields into a buffer of the connection, which stays as
//! large as it has ever been: with thousands of subscribers, a burst would cost memory for as
//! long as they stay. Shared frames are written to the socket directly instead, all that there
//! are at once. Only what the kernel does not take goes through the library's buffer, which
//! waits until the socket is writable again.
//!
//! The bytes keep their order because the library asks a body for more when, and only when,
//! that buffer is empty: see [`BUFFER_BYTES`].

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::Connection;

/// Bytes that must wait in the library's buffer for it to write them before it asks a body for
/// more: any at all.
pub(crate) const BUFFER_BYTES: usize = 1;

/// Slices in one call; the kernel takes 1,024 at most.
const MAX_SLICES: usize = 64;

/// Writes to a connection past the HTTP library.
#[derive(Clone)]
pub(crate) struct SocketWriter(Connection);

impl SocketWriter {
    /// A writer to this connection.
    pub(crate) fn new(connection: Connection) -> Self {
        Self(connection)
    }

    /// Hands over as much as the kernel takes; the rest stays. To be called only where the
    /// library asks a body for more.
    pub(crate) fn send(&self, slices: &mut VecDeque<Bytes>) {
        send(slices, |batch| self.0.try_write(batch));
    }
}

/// Writes until everything has been taken, or less than offered.
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
        // Whatever is wrong, the library finds out when it tries.
        let taken = write(&batch).unwrap_or(0);
        drop_front(slices, taken);
        if taken < offered {
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

    /// Slices of many lengths, none of them empty.
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
            assert!(calls < 10_000, "nothing is taken any more");
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
