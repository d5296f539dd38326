//! Byte stream of one connection, read and written by the HTTP library.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::limits::{ConnectionLimits, ConnectionPermit, Exceeded};
use super::malformed;
use super::upgrade::without_other_upgrades;
use crate::metrics;
use crate::response::problem::Problem;

/// Time after which the kernel closes a connection whose client does not acknowledge sent bytes.
#[cfg(target_os = "linux")]
const STALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Maximum number of unsent bytes for which the kernel accepts further ones.
#[cfg(target_os = "linux")]
const MAX_UNSENT_BYTES: u32 = 32 * 1024;

/// Maximum number of bytes read from one connection before it yields to others: the HTTP library
/// reads and buffers as long as there are any.
const MAX_READ_RUN: usize = 32 * 1024;

/// Maximum number of bytes of a request's head that the HTTP library buffers.
const MAX_UNPARSED: usize = 128 * 1024;

/// `Retry-After` of a refused connection.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Connection of a client. It is not read while written bytes are pending, so that a client must
/// read responses before it sends more requests.
pub(crate) struct Socket(Rc<Shared>);

/// Handle of a connection for the handlers of its requests. It does not keep the connection open.
#[derive(Clone)]
pub(crate) struct Connection(Weak<Shared>);

struct Shared {
    stream: TcpStream,
    permit: ConnectionPermit,
    /// True if the kernel did not accept the whole last write.
    is_blocked: Cell<bool>,
    /// True if a handler has paused reading.
    is_paused: Cell<bool>,
    /// Task to wake once reading may continue.
    reader: RefCell<Option<Waker>>,
    /// Path of the feed, until the first bytes have been read.
    feed: Cell<Option<&'static str>>,
    /// Number of bytes read since the connection last yielded.
    read_run: Cell<usize>,
    /// Number of requests in progress.
    requests: Cell<usize>,
    /// Number of bytes read while no request is in progress: an incomplete request head.
    unparsed: Cell<usize>,
    /// True if bytes of a response may still have to be written.
    is_unsent: Cell<bool>,
    /// Rest of a problem document that replaces a response without a body.
    document: RefCell<Bytes>,
}

impl Socket {
    /// Accepts a new connection, or refuses it with a 503 or 429. `feed` is the path of the feed,
    /// if there is one.
    ///
    /// # Errors
    /// The limit that the connection would exceed.
    pub(crate) fn accept(
        stream: TcpStream,
        peer: Option<SocketAddr>,
        limits: &Arc<ConnectionLimits>,
        feed: Option<&'static str>,
    ) -> Result<Self, Exceeded> {
        let client = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let permit = match limits.admit(client) {
            Ok(permit) => permit,
            Err(exceeded) => {
                metrics::connection_refused(exceeded.name());
                refuse(&stream, exceeded);
                return Err(exceeded);
            }
        };
        limit_stalls(&stream);
        // Feed frames are small and must not be delayed.
        let _ = stream.set_nodelay(true);
        Ok(Self(Rc::new(Shared {
            stream,
            permit,
            is_blocked: Cell::new(false),
            is_paused: Cell::new(false),
            reader: RefCell::new(None),
            feed: Cell::new(feed),
            read_run: Cell::new(0),
            requests: Cell::new(0),
            unparsed: Cell::new(0),
            is_unsent: Cell::new(false),
            document: RefCell::default(),
        })))
    }

    /// Returns a handle for the handlers of the connection's requests.
    pub(crate) fn connection(&self) -> Connection {
        Connection(Rc::downgrade(&self.0))
    }

    /// Returns the local address of the connection.
    pub(crate) fn local_address(&self) -> Option<IpAddr> {
        let address = self.0.stream.local_addr().ok()?;
        Some(address.ip())
    }
}

/// Limits the time and the memory that a client which stops reading can use
/// (`TCP_USER_TIMEOUT` and `TCP_NOTSENT_LOWAT`, if the system has them).
#[cfg_attr(not(target_os = "linux"), expect(unused_variables))]
fn limit_stalls(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    {
        let socket = SockRef::from(stream);
        // On failure a stalled connection lasts longer and uses more memory.
        let _ = socket.set_tcp_user_timeout(Some(STALL_TIMEOUT));
        let _ = socket.set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
    }
}

/// Sends a problem without reading the request, as far as the kernel accepts it at once.
fn refuse(stream: &TcpStream, exceeded: Exceeded) {
    let seconds = u32::try_from(RETRY_AFTER.as_secs()).unwrap_or(u32::MAX);
    let problem = match exceeded {
        Exceeded::Total => Problem::unavailable("the server has reached its connection limit"),
        Exceeded::Client => Problem::too_many_connections(seconds),
    };
    // Bypasses the runtime, which does not know yet that the socket is writable.
    let socket = SockRef::from(stream);
    let _ = socket.send(problem.raw().as_bytes());
    let _ = socket.shutdown(Shutdown::Write);
}

impl Shared {
    /// Checks whether reading has to wait; the task is woken once reading may continue.
    fn must_wait(&self, cx: &Context<'_>) -> bool {
        if !self.is_blocked.get() && !self.is_paused.get() {
            return false;
        }
        *self.reader.borrow_mut() = Some(cx.waker().clone());
        true
    }

    fn wake_reader(&self) {
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }

    /// Counts bytes that have been read.
    fn count(&self, bytes: usize) -> io::Result<()> {
        if self.requests.get() > 0 {
            return Ok(());
        }
        // The rest of an unread body is read as well, but not buffered.
        let unparsed = (self.unparsed.get() + bytes).min(MAX_UNPARSED);
        self.unparsed.set(unparsed);
        self.hold(unparsed)
    }

    fn hold(&self, bytes: usize) -> io::Result<()> {
        self.permit.hold(bytes).map_err(|exceeded| {
            metrics::connection_refused(exceeded.name());
            io::Error::new(
                io::ErrorKind::OutOfMemory,
                "limit on bytes held by connections exceeded",
            )
        })
    }

    /// Counts pending bytes as held until the kernel accepts them.
    fn block(&self, waiting: usize) -> io::Result<()> {
        self.is_blocked.set(true);
        self.hold(waiting)
    }

    fn unblock(&self) {
        if self.is_blocked.replace(false) {
            let _ = self.permit.hold(0);
            self.wake_reader();
        }
    }

    /// Returns the problem document that replaces these bytes if they are a response without a
    /// body, made by the HTTP library; else empty. The bytes start a response if no request is in
    /// progress and none is partly written.
    fn document_for(&self, bytes: &[u8]) -> Bytes {
        let document = self.document.borrow().clone();
        if !document.is_empty() || self.requests.get() > 0 || self.is_unsent.get() {
            return document;
        }
        let problem = malformed::problem(bytes);
        problem.map_or(document, |problem| problem.raw().into())
    }

    /// Writes the rest of a problem document that replaces `replaced` bytes.
    fn poll_write_document(
        &self,
        cx: &mut Context<'_>,
        mut document: Bytes,
        replaced: usize,
    ) -> Poll<io::Result<usize>> {
        while !document.is_empty() {
            let write = |stream: &TcpStream| stream.try_write(&document);
            match self.poll_write_with(cx, document.len(), write) {
                Poll::Ready(Ok(taken)) => document.advance(taken),
                other => {
                    self.document.replace(document);
                    return other;
                }
            }
        }
        self.document.replace(document);
        Poll::Ready(Ok(replaced))
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        waiting: usize,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.stream.poll_write_ready(cx)?.is_pending() {
                self.block(waiting)?;
                return Poll::Pending;
            }
            match write(&self.stream) {
                Ok(taken) => {
                    self.is_unsent.set(taken < waiting);
                    if taken == waiting {
                        self.unblock();
                    }
                    return Poll::Ready(Ok(taken));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let shared = &self.0;
        if shared.must_wait(cx) {
            return Poll::Pending;
        }
        if shared.read_run.get() >= MAX_READ_RUN {
            shared.read_run.set(0);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let Poll::Ready(is_ready) = shared.stream.poll_read_ready(cx) else {
                shared.read_run.set(0);
                return Poll::Pending;
            };
            is_ready?;
            let before = buffer.filled().len();
            match shared.stream.try_read_buf(buffer) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(count) => {
                    if let Some(feed) = shared.feed.take() {
                        let head = &mut buffer.filled_mut()[before..];
                        let length = without_other_upgrades(head, feed);
                        buffer.set_filled(before + length);
                    }
                    shared.read_run.set(shared.read_run.get() + count);
                    shared.count(count)?;
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let document = self.0.document_for(bytes);
        if !document.is_empty() {
            return self.0.poll_write_document(cx, document, bytes.len());
        }
        let write = |stream: &TcpStream| stream.try_write(bytes);
        self.0.poll_write_with(cx, bytes.len(), write)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let waiting = slices.iter().map(|slice| slice.len()).sum();
        let write = |stream: &TcpStream| stream.try_write_vectored(slices);
        self.0.poll_write_with(cx, waiting, write)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&self.0.stream).shutdown(Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl Connection {
    /// Writes as much as the kernel accepts at once; returns the number of bytes written.
    pub(super) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let shared = self.0.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        shared.stream.try_write_vectored(slices)
    }

    /// Pauses reading until the guard is dropped.
    pub(crate) fn pause(&self) -> ReadPause {
        if let Some(shared) = self.0.upgrade() {
            shared.is_paused.set(true);
        }
        ReadPause(self.0.clone())
    }

    /// Returns the connection's file descriptor, which is valid while a request is in progress.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> Option<std::os::fd::RawFd> {
        let shared = self.0.upgrade()?;
        Some(std::os::fd::AsRawFd::as_raw_fd(&shared.stream))
    }

    /// Counts a request as in progress until the guard is dropped.
    pub(super) fn begin_request(&self) -> RequestGuard {
        if let Some(shared) = self.0.upgrade() {
            shared.requests.set(shared.requests.get() + 1);
            shared.unparsed.set(0);
            shared.is_unsent.set(true);
            if !shared.is_blocked.get() {
                let _ = shared.permit.hold(0);
            }
        }
        RequestGuard(self.0.clone())
    }
}

/// Guard during which a connection is not read.
pub(crate) struct ReadPause(Weak<Shared>);

impl Drop for ReadPause {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.is_paused.set(false);
            shared.wake_reader();
        }
    }
}

/// Guard during which a request counts as in progress.
pub(crate) struct RequestGuard(Weak<Shared>);

impl RequestGuard {
    /// Records that the response's body has produced bytes, which have yet to be written.
    pub(super) fn mark_unsent(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.is_unsent.set(true);
        }
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.requests.set(shared.requests.get() - 1);
        }
    }
}
