//! Notices when a client closes its connection while its request waits.
//!
//! The HTTP server polls a handler until it is done, whether anybody is left to read the
//! answer or not. Whatever waits for long therefore watches the connection: one thread of the
//! process watches all of them by the descriptors that the server has anyway. A client that
//! closes only its sending side counts as gone as well; it gets its answer at once.

use actix_web::HttpRequest;
use tokio_util::sync::CancellationToken;

#[cfg(unix)]
use crate::connections::Connection;

/// A watched connection, until it is dropped; to be dropped by the handler of its request,
/// before the server can close the socket.
pub(crate) struct Watch {
    gone: CancellationToken,
    #[cfg(unix)]
    _watched: watcher::Watched,
}

impl Watch {
    /// Watches the connection of a request; `None` where that cannot be done.
    #[cfg(unix)]
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        let descriptor = request.conn_data::<Connection>()?.descriptor()?;
        let gone = CancellationToken::new();
        let watched = watcher::watch(descriptor, gone.clone())?;
        Some(Self {
            gone,
            _watched: watched,
        })
    }

    /// Watches nothing: this system cannot.
    #[cfg(not(unix))]
    pub(crate) fn of(_: &HttpRequest) -> Option<Self> {
        None
    }

    /// Waits until the client has closed the connection.
    pub(crate) async fn closed(&self) {
        self.gone.cancelled().await;
    }

    /// Tells whether the client has closed the connection.
    pub(crate) fn is_closed(&self) -> bool {
        self.gone.is_cancelled()
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

    /// Events that are taken from the kernel at once.
    const MAX_EVENTS: usize = 256;
    /// Pause after an error of the kernel's, which is not expected.
    const ERROR_PAUSE: Duration = Duration::from_millis(100);

    /// The one thread that watches, as others see it.
    struct Watcher {
        registry: Registry,
        connections: Arc<Connections>,
    }

    #[derive(Default)]
    struct Connections(Mutex<Watching>);

    #[derive(Default)]
    struct Watching {
        gone: HashMap<Token, CancellationToken>,
        latest: usize,
    }

    impl Connections {
        fn lock(&self) -> MutexGuard<'_, Watching> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// A registration, ended when it is dropped.
    pub(super) struct Watched {
        watcher: &'static Watcher,
        descriptor: RawFd,
        token: Token,
    }

    /// Cancels `gone` when the other side closes the socket.
    pub(super) fn watch(descriptor: RawFd, gone: CancellationToken) -> Option<Watched> {
        let watcher = watcher()?;
        let token = {
            let mut watching = watcher.connections.lock();
            watching.latest = watching.latest.wrapping_add(1);
            let token = Token(watching.latest);
            watching.gone.insert(token, gone);
            token
        };
        let watched = Watched {
            watcher,
            descriptor,
            token,
        };
        // Reports what has happened before as well. On failure the wait just lasts longer.
        let mut source = SourceFd(&watched.descriptor);
        let registered = watcher
            .registry
            .register(&mut source, token, Interest::READABLE);
        registered
            .inspect_err(|error| tracing::debug!("a connection cannot be watched: {error}"))
            .ok()
            .map(|()| watched)
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            self.watcher.connections.lock().gone.remove(&self.token);
            let mut source = SourceFd(&self.descriptor);
            let _ = self.watcher.registry.deregister(&mut source);
        }
    }

    fn watcher() -> Option<&'static Watcher> {
        static WATCHER: OnceLock<Option<Watcher>> = OnceLock::new();
        let started = WATCHER.get_or_init(|| {
            start()
                .inspect_err(|error| tracing::warn!("connections cannot be watched: {error}"))
                .ok()
        });
        started.as_ref()
    }

    fn start() -> io::Result<Watcher> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let connections = Arc::<Connections>::default();
        let watched = connections.clone();
        thread::Builder::new()
            .name("hangup-watcher".into())
            .spawn(move || run(poll, &watched))?;
        Ok(Watcher {
            registry,
            connections,
        })
    }

    /// As long as the process.
    fn run(mut poll: Poll, connections: &Connections) {
        let mut events = Events::with_capacity(MAX_EVENTS);
        loop {
            match poll.poll(&mut events, None) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::debug!("watching connections: {error}");
                    thread::sleep(ERROR_PAUSE);
                    continue;
                }
            }
            let watching = connections.lock();
            let closed = events
                .iter()
                .filter(|event| event.is_read_closed() || event.is_error());
            for gone in closed.filter_map(|event| watching.gone.get(&event.token())) {
                gone.cancel();
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use std::io::Write;
        use std::net::{Shutdown, TcpListener, TcpStream};
        use std::os::fd::AsRawFd;

        use super::*;

        const WAIT: Duration = Duration::from_secs(10);

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
                // Nobody reads this.
                client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
                let gone = CancellationToken::new();
                let watched = watch(server.as_raw_fd(), gone.clone()).expect("watched");
                tokio::time::sleep(Duration::from_millis(50)).await;
                assert!(!gone.is_cancelled(), "it is there");
                let kept = client.try_clone().expect("a handle");
                closes(client);
                kept.shutdown(Shutdown::Write).ok();
                let noticed = tokio::time::timeout(WAIT, gone.cancelled()).await;
                assert!(noticed.is_ok(), "noticed");
                drop(watched);
                // One that had closed before is noticed as well.
                let gone = CancellationToken::new();
                let _watched = watch(server.as_raw_fd(), gone.clone()).expect("watched");
                let noticed = tokio::time::timeout(WAIT, gone.cancelled()).await;
                assert!(noticed.is_ok(), "noticed at once");
            }
        }

        #[tokio::test]
        async fn nobody_is_remembered() {
            let (client, server) = pair();
            let gone = CancellationToken::new();
            let watched = watch(server.as_raw_fd(), gone.clone()).expect("watched");
            let token = watched.token;
            drop(watched);
            let is_remembered = {
                let watching = watcher().expect("a thread").connections.lock();
                watching.gone.contains_key(&token)
            };
            assert!(!is_remembered);
            drop(client);
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert!(!gone.is_cancelled());
        }
    }
}
