//! The byte stream of one connection, as the HTTP library reads and writes it.

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

/// How long bytes may wait for a client that does not take them. The kernel
/// ends the connection then, whatever it is for, and everything that is kept for it.
#[cfg(target_os = "linux")]
const STALL_TIMEOUT: Duration = Duration::from_secs(15);

/// Bytes that the kernel takes off our hands before it has sent those it has.
#[cfg(target_os = "linux")]
const MAX_UNSENT_BYTES: u32 = 32 * 1024;

/// Bytes that are read of one connection before the others have their turn: the HTTP library
/// would go on as long as there are any, and keeps them all.
const MAX_READ_RUN: usize = 32 * 1024;

/// Bytes that the HTTP library keeps of a request's head at most.
const MAX_UNPARSED: usize = 128 * 1024;

/// Time that a client which is refused a connection is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A client's connection. It is read only while what was written has been taken: a client that
/// does not read is not listened to.
pub(crate) struct Socket(Rc<Shared>);

/// Connection as the handlers of its requests know it. It does not keep it open.
#[derive(Clone)]
pub(crate) struct Connection(Weak<Shared>);

struct Shared {
    stream: TcpStream,
    permit: ConnectionPermit,
    /// True if the last write was not taken as a whole.
    is_blocked: Cell<bool>,
    /// True if a handler has asked for nothing more to be read.
    is_paused: Cell<bool>,
    /// The task to wake once there may be something to read again.
    reader: RefCell<Option<Waker>>,
    /// Path of the feed, until the first bytes have been read.
    feed: Cell<Option<&'static str>>,
    /// Bytes read since others had their turn.
    run: Cell<usize>,
    /// Requests that are being answered.
    answering: Cell<usize>,
    /// Bytes read while none is: a request's head that is not complete.
    unparsed: Cell<usize>,
    /// True if bytes of an answer may still have to be written.
    is_unsent: Cell<bool>,
    /// Rest of a problem document that is written in the place of a bare answer.
    document: RefCell<Bytes>,
}

impl Socket {
    /// Takes a new connection, or refuses it with a 503 or 429. The feed, if there is one, is at the
    /// path `feed`.
    ///
    /// # Errors
    /// The bound that it exceeds.
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
        // Feed frames are small, and each is late enough by itself.
        let _ = stream.set_nodelay(true);
        Ok(Self(Rc::new(Shared {
            stream,
            permit,
            is_blocked: Cell::new(false),
            is_paused: Cell::new(false),
            reader: RefCell::new(None),
            feed: Cell::new(feed),
            run: Cell::new(0),
            answering: Cell::new(0),
            unparsed: Cell::new(0),
            is_unsent: Cell::new(false),
            document: RefCell::default(),
        })))
    }

    /// A handle for the handlers of its requests.
    pub(crate) fn connection(&self) -> Connection {
        Connection(Rc::downgrade(&self.0))
    }

    /// Address at which it came in.
    pub(crate) fn local_address(&self) -> Option<IpAddr> {
        let address = self.0.stream.local_addr().ok()?;
        Some(address.ip())
    }
}

/// A client that stops reading is not waited for, nor does much gather for it
/// (`TCP_USER_TIMEOUT` and `TCP_NOTSENT_LOWAT`, where the system has them).
#[cfg_attr(not(target_os = "linux"), expect(unused_variables))]
fn limit_stalls(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    {
        let socket = SockRef::from(stream);
        // Without them a stalled connection just lasts longer, and costs more.
        let _ = socket.set_tcp_user_timeout(Some(STALL_TIMEOUT));
        let _ = socket.set_tcp_notsent_lowat(MAX_UNSENT_BYTES);
    }
}

/// Answers without reading anything, as far as the kernel takes it at once.
fn refuse(stream: &TcpStream, exceeded: Exceeded) {
    let seconds = u32::try_from(RETRY_AFTER.as_secs()).unwrap_or(u32::MAX);
    let problem = match exceeded {
        Exceeded::Total => Problem::unavailable("the server has as many connections as it takes"),
        Exceeded::Client => Problem::too_many_connections(seconds),
    };
    // The runtime does not know yet that it can be written to.
    let socket = SockRef::from(stream);
    let _ = socket.send(problem.raw().as_bytes());
    let _ = socket.shutdown(Shutdown::Write);
}

impl Shared {
    /// Tells whether reading has to wait; the task is woken once it need not any more.
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
        if self.answering.get() > 0 {
            return Ok(());
        }
        // Of a body that nobody wants the rest is read as well, but not kept.
        let unparsed = (self.unparsed.get() + bytes).min(MAX_UNPARSED);
        self.unparsed.set(unparsed);
        self.hold(unparsed)
    }

    fn hold(&self, bytes: usize) -> io::Result<()> {
        self.permit.hold(bytes).map_err(|exceeded| {
            metrics::connection_refused(exceeded.name());
            io::Error::new(
                io::ErrorKind::OutOfMemory,
                "connections hold as many bytes as they may",
            )
        })
    }

    /// Counts bytes that wait to be written; they are held until they are taken.
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

    /// The problem document for bytes that are an answer without a body, made by the HTTP
    /// library; empty for all others. An answer begins here if nobody's is under way.
    fn document_for(&self, bytes: &[u8]) -> Bytes {
        let document = self.document.borrow().clone();
        if !document.is_empty() || self.answering.get() > 0 || self.is_unsent.get() {
            return document;
        }
        let problem = malformed::problem(bytes);
        problem.map_or(document, |problem| problem.raw().into())
    }

    /// Writes the rest of a problem document in the place of so many bytes.
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
        if shared.run.get() >= MAX_READ_RUN {
            shared.run.set(0);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            let Poll::Ready(is_ready) = shared.stream.poll_read_ready(cx) else {
                shared.run.set(0);
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
                    shared.run.set(shared.run.get() + count);
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
    /// Writes what the kernel takes at once.
    pub(super) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let shared = self.0.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        shared.stream.try_write_vectored(slices)
    }

    /// Reads nothing more until the guard is dropped.
    pub(crate) fn pause(&self) -> Paused {
        if let Some(shared) = self.0.upgrade() {
            shared.is_paused.set(true);
        }
        Paused(self.0.clone())
    }

    /// The number of its descriptor, which is its own as long as a request on it is answered.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> Option<std::os::fd::RawFd> {
        let shared = self.0.upgrade()?;
        Some(std::os::fd::AsRawFd::as_raw_fd(&shared.stream))
    }

    /// Counts a request that has begun, until the guard is dropped.
    pub(super) fn begin(&self) -> Answering {
        if let Some(shared) = self.0.upgrade() {
            shared.answering.set(shared.answering.get() + 1);
            shared.unparsed.set(0);
            shared.is_unsent.set(true);
            if !shared.is_blocked.get() {
                let _ = shared.permit.hold(0);
            }
        }
        Answering(self.0.clone())
    }
}

/// A connection that is not read.
pub(crate) struct Paused(Weak<Shared>);

impl Drop for Paused {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.is_paused.set(false);
            shared.wake_reader();
        }
    }
}

/// A request that is being answered.
pub(crate) struct Answering(Weak<Shared>);

impl Answering {
    /// Records that its body has given bytes, which have yet to be written.
    pub(super) fn has_more(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.is_unsent.set(true);
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.answering.set(shared.answering.get() - 1);
        }
    }
}
