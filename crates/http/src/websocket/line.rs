//! A second handle on a connection's socket, for bytes that need not be copied.
//!
//! What a body yields the server copies into a buffer of the connection, which
//! stays as large as it has ever been: with thousands of subscribers, a burst
//! would cost memory for as long as they stay. Frames that many get are handed
//! to the kernel as they are instead, all that there are at once. Only what the
//! kernel does not take goes the server's way, which knows how to wait.
//!
//! The bytes keep their order because the server asks a body for more when, and
//! only when, that buffer is empty: see [`BUFFER`].

use std::any::Any;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;

use actix_web::rt::net::TcpStream as Connection;
use bytes::{Buf, Bytes};
use socket2::{SockRef, Socket};

/// Bytes that must be waiting in the server's buffer for it to write them before
/// it asks a body for more: any at all.
pub const BUFFER: usize = 1;

/// Frames in one call; the kernel takes 1,024 at most.
const MOST: usize = 64;

/// A second handle on a connection.
#[derive(Clone)]
pub struct Line(Arc<Socket>);

impl Line {
    /// On what the server has accepted; `None` if that is nothing of the kind, or
    /// if there are no more handles.
    pub fn of(connection: &dyn Any) -> Option<Self> {
        let connection = connection.downcast_ref::<Connection>()?;
        let handle = SockRef::from(connection).try_clone().ok()?;
        Some(Self(Arc::new(handle)))
    }

    /// Hands over as much as the kernel takes; the rest stays. To be called only
    /// where the server asks a body for more.
    pub fn send(&self, frames: &mut VecDeque<Bytes>) {
        while !frames.is_empty() {
            let offered: usize = frames.iter().take(MOST).map(Bytes::len).sum();
            // Whatever is wrong, the server will find out when it tries.
            let taken = self.offer(frames).unwrap_or(0);
            forget(frames, taken);
            if taken < offered {
                return;
            }
        }
    }

    /// How many bytes the kernel takes of the first frames.
    fn offer(&self, frames: &VecDeque<Bytes>) -> io::Result<usize> {
        if let (1, Some(only)) = (frames.len(), frames.front()) {
            return self.0.send(only);
        }
        let slices = frames.iter().take(MOST).map(|frame| IoSlice::new(frame));
        self.0.send_vectored(&slices.collect::<Vec<_>>())
    }
}

/// The first `count` bytes are gone.
fn forget(frames: &mut VecDeque<Bytes>, mut count: usize) {
    while let Some(first) = frames.front_mut() {
        if count < first.len() {
            first.advance(count);
            return;
        }
        count -= first.len();
        frames.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Frames of many lengths, none of them empty.
    fn frames() -> VecDeque<Bytes> {
        (1..400_u32)
            .map(|n| Bytes::from(vec![n.to_le_bytes()[0]; (n as usize * 37) % 3_000 + 1]))
            .collect()
    }

    #[test]
    fn what_the_kernel_takes_and_what_is_left_are_all_of_it_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut reader = TcpStream::connect(address).expect("a connection");
        let (writer, _) = listener.accept().expect("its other end");
        writer.set_nonblocking(true).expect("set");
        let line = Line(Arc::new(writer.into()));
        let expected: Vec<u8> = frames().into_iter().flatten().collect();
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            // Slowly at first, so that the kernel's buffers fill up.
            std::thread::sleep(std::time::Duration::from_millis(100));
            reader.read_to_end(&mut all).expect("read");
            all
        });
        let mut sent = frames();
        let mut waits = 0;
        while !sent.is_empty() {
            line.send(&mut sent);
            if !sent.is_empty() {
                waits += 1;
                assert!(waits < 10_000, "nobody reads");
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        drop(line);
        assert!(reading.join().expect("it ends") == expected);
    }

    #[test]
    fn nothing_is_lost_where_nothing_is_taken() {
        let mut rest = frames();
        forget(&mut rest, 0);
        assert_eq!(rest, frames());
        let first = frames()[0].len();
        forget(&mut rest, first + 1);
        let all: usize = frames().iter().map(Bytes::len).sum();
        let left: usize = rest.iter().map(Bytes::len).sum();
        assert_eq!(left, all - first - 1);
    }
}
