//! Detection of clients that close their connection while their request waits.
//!
//! The HTTP library polls a handler until it completes, even if the client is gone. Handlers that
//! wait long therefore watch the connection: one thread of the process watches all of them, by the
//! file descriptors of the sockets. A client that closes only its sending side is treated as
//! gone as well and gets its response at once.

use actix_web::HttpRequest;
use tokio_util::sync::CancellationToken;

#[cfg(unix)]
use crate::connections::Connection;

/// Watched connection. The handler of its request must drop it, before the server can close the
/// socket.
pub(crate) struct Watch {
    closed: CancellationToken,
    #[cfg(unix)]
    _registration: watcher::Registration,
}

impl Watch {
    /// Watches the connection of a request; `None` if it cannot be watched.
    #[cfg(unix)]
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        let descriptor = request.conn_data::<Connection>()?.descriptor()?;
        let closed = CancellationToken::new();
        let registration = watcher::watch(descriptor, closed.clone())?;
        Some(Self {
            closed,
            _registration: registration,
        })
    }

    /// Returns `None`: connections cannot be watched on this system.
    #[cfg(not(unix))]
    pub(crate) fn of(_: &HttpRequest) -> Option<Self> {
        None
    }

    /// Waits until the client has closed the connection.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Checks whether the client has closed the connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }
}

#[cfg(unix)]
mod watcher {
    use std::collections::HashMap;
    use std::io;
    use std::os::fd::RawFd;
    use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
    use std::thread;
    use std::time::Duration;

    use mio::unix::SourceFd;
    use mio::{Events, Interest, Poll, Registry, Token};
    use tokio_util::sync::CancellationToken;

    /// Maximum number of events taken from the kernel at once.
    const MAX_EVENTS: usize = 256;
    /// Pause after an unexpected error of the kernel.
    const ERROR_PAUSE: Duration = Duration::from_millis(100);

    /// Handle of the watching thread.
    struct Watcher {
        registry: Registry,
        connections: Arc<Connections>,
    }

    #[derive(Default)]
    struct Connections(Mutex<Registrations>);

    #[derive(Default)]
    struct Registrations {
        closed: HashMap<Token, CancellationToken>,
        last_token: usize,
    }

    impl Connections {
        fn lock(&self) -> MutexGuard<'_, Registrations> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// Registration of a socket, removed when it is dropped.
    pub(super) struct Registration {
        watcher: &'static Watcher,
        descriptor: RawFd,
        token: Token,
    }

    /// Cancels `closed` when the peer closes the socket.
    pub(super) fn watch(descriptor: RawFd, closed: CancellationToken) -> Option<Registration> {
        let watcher = watcher()?;
        let token = {
            let mut registrations = watcher.connections.lock();
            registrations.last_token = registrations.last_token.wrapping_add(1);
            let token = Token(registrations.last_token);
            registrations.closed.insert(token, closed);
            token
        };
        let registration = Registration {
            watcher,
            descriptor,
            token,
        };
        // Also reports a socket that was closed before. Without it the request waits longer.
        let mut source = SourceFd(&registration.descriptor);
        let registered = watcher
            .registry
            .register(&mut source, token, Interest::READABLE);
        registered
            .inspect_err(|error| tracing::debug!("cannot watch a connection: {error}"))
            .ok()
            .map(|()| registration)
    }

    impl Drop for Registration {
        fn drop(&mut self) {
            self.watcher.connections.lock().closed.remove(&self.token);
            let mut source = SourceFd(&self.descriptor);
            let _ = self.watcher.registry.deregister(&mut source);
        }
    }

    fn watcher() -> Option<&'static Watcher> {
        static WATCHER: OnceLock<Option<Watcher>> = OnceLock::new();
        let started = WATCHER.get_or_init(|| {
            start()
                .inspect_err(|error| tracing::warn!("cannot watch connections: {error}"))
                .ok()
        });
        started.as_ref()
    }

    fn start() -> io::Result<Watcher> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let connections = Arc::<Connections>::default();
        let shared = connections.clone();
        thread::Builder::new()
            .name("disconnect-watcher".into())
            .spawn(move || run(poll, &shared))?;
        Ok(Watcher {
            registry,
            connections,
        })
    }

    /// Watches the registered sockets; runs until the process ends.
    fn run(mut poll: Poll, connections: &Connections) {
        let mut events = Events::with_capacity(MAX_EVENTS);
        loop {
            match poll.poll(&mut events, None) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::debug!("polling watched connections failed: {error}");
                    thread::sleep(ERROR_PAUSE);
                    continue;
                }
            }
            let registrations = connections.lock();
            let closing = events
                .iter()
                .filter(|event| event.is_read_closed() || event.is_error());
            for closed in closing.filter_map(|event| registrations.closed.get(&event.token())) {
                closed.cancel();
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use std::io::Write;
        use std::net::{Shutdown, TcpListener, TcpStream};
        use std::os::fd::AsRawFd;

        use super::*;

        const WAIT_TIMEOUT: Duration = Duration::from_secs(10);

        fn pair() -> (TcpStream, TcpStream) {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("an address");
            let client = TcpStream::connect(address).expect("a connection");
            let (server, _) = listener.accept().expect("its other end");
            (client, server)
        }

        #[tokio::test]
        async fn a_client_that_closes_is_noticed_whatever_it_has_sent() {
            for closes in [
                |client: TcpStream| drop(client),
                |client: TcpStream| client.shutdown(Shutdown::Write).expect("closed"),
            ] {
                let (mut client, server) = pair();
                // Data that the server does not read.
                client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
                let closed = CancellationToken::new();
                let registration = watch(server.as_raw_fd(), closed.clone()).expect("watched");
                tokio::time::sleep(Duration::from_millis(50)).await;
                assert!(!closed.is_cancelled(), "it is open");
                let kept = client.try_clone().expect("a handle");
                closes(client);
                kept.shutdown(Shutdown::Write).ok();
                let noticed = tokio::time::timeout(WAIT_TIMEOUT, closed.cancelled()).await;
                assert!(noticed.is_ok(), "noticed");
                drop(registration);
                // A connection closed before it is watched is noticed as well.
                let closed = CancellationToken::new();
                let _registration = watch(server.as_raw_fd(), closed.clone()).expect("watched");
                let noticed = tokio::time::timeout(WAIT_TIMEOUT, closed.cancelled()).await;
                assert!(noticed.is_ok(), "noticed at once");
            }
        }

        #[tokio::test]
        async fn a_dropped_registration_is_forgotten() {
            let (client, server) = pair();
            let closed = CancellationToken::new();
            let registration = watch(server.as_raw_fd(), closed.clone()).expect("watched");
            let token = registration.token;
            drop(registration);
            let is_remembered = {
                let registrations = watcher().expect("a thread").connections.lock();
                registrations.closed.contains_key(&token)
            };
            assert!(!is_remembered);
            drop(client);
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(!closed.is_cancelled());
        }
    }
}
