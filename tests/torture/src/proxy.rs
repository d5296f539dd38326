//! TCP proxy before a server that can delay, hold back, cut or truncate its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Treatment of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyMode {
    /// Passes everything on.
    Open,
    /// Delays every chunk by this time.
    Slow(Duration),
    /// Passes nothing on and keeps connections open.
    HalfOpen,
    /// Resets all connections, including new ones.
    Cut,
    /// Passes requests on, and so many bytes of answers; then resets the connection, so that a
    /// request is executed and its answer lost.
    DropAnswersAfter(i64),
}

/// A proxy; lives as long as the runtime.
#[derive(Clone)]
pub struct Proxy {
    port: u16,
    mode: watch::Sender<ProxyMode>,
    /// Number of bytes of answers that may still pass in the mode `DropAnswersAfter`.
    answer_bytes_left: Arc<AtomicI64>,
}

impl Proxy {
    /// Starts a proxy before the server at this port.
    ///
    /// # Errors
    /// When no port is available.
    pub async fn start(server: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self {
            port: listener.local_addr()?.port(),
            mode: watch::Sender::new(ProxyMode::Open),
            answer_bytes_left: Arc::default(),
        };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let proxy = accepting.clone();
                tokio::spawn(async move { proxy.serve(client, server).await });
            }
        });
        Ok(proxy)
    }

    /// Returns the port on which it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the treatment of all connections.
    pub fn set_mode(&self, mode: ProxyMode) {
        if let ProxyMode::DropAnswersAfter(bytes) = mode {
            self.answer_bytes_left.store(bytes, Ordering::Relaxed);
        }
        self.mode.send_replace(mode);
    }

    async fn serve(self, client: TcpStream, port: u16) {
        if *self.mode.borrow() == ProxyMode::Cut {
            return;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
            return;
        };
        for socket in [&client, &server] {
            // Closing sends a reset instead of an orderly end.
            let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
            let _ = socket.set_nodelay(true);
        }
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let mut mode = self.mode.subscribe();
        let requests = pump(from_client, to_server, self.mode.subscribe(), None);
        let answers = pump(
            from_server,
            to_client,
            self.mode.subscribe(),
            Some(&self.answer_bytes_left),
        );
        let cut = async {
            // The sender lives as long as this proxy.
            let _ = mode.wait_for(|mode| *mode == ProxyMode::Cut).await;
        };
        tokio::select! {
            () = requests => {}
            () = answers => {}
            () = cut => {}
        }
    }
}

/// Copies bytes in one direction according to the current mode, until either side ends.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<ProxyMode>,
    answer_bytes_left: Option<&AtomicI64>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        let now = *mode.borrow_and_update();
        match now {
            ProxyMode::Open => {}
            ProxyMode::Slow(time) => tokio::time::sleep(time).await,
            ProxyMode::HalfOpen => {
                if mode
                    .wait_for(|mode| *mode != ProxyMode::HalfOpen)
                    .await
                    .is_err()
                {
                    return;
                }
            }
            ProxyMode::Cut => return,
            ProxyMode::DropAnswersAfter(_) => {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                if answer_bytes_left.is_some_and(|answer_bytes_left| {
                    answer_bytes_left.fetch_sub(count, Ordering::Relaxed) < count
                }) {
                    return;
                }
            }
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
