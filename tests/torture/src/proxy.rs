//! Something that stands before a server and lets through what it likes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How it treats what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It all goes through.
    Open,
    /// It all takes this long.
    Slow(Duration),
    /// Nothing goes through, and nobody is told: connections stay, half open.
    Silent,
    /// All connections are cut, new ones too.
    Cut,
    /// Everything that is asked goes through; of what is answered only so many bytes,
    /// then the connection is reset: what was asked is done, and the answer lost.
    Mute(i64),
}

/// A proxy; lives as long as the runtime.
#[derive(Clone)]
pub struct Proxy {
    port: u16,
    manner: watch::Sender<Manner>,
    /// Bytes of answers that still go through, where they are counted.
    left: Arc<AtomicI64>,
}

impl Proxy {
    /// One before the server at this port.
    ///
    /// # Errors
    /// When there is no port for it.
    pub async fn before(server: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self {
            port: listener.local_addr()?.port(),
            manner: watch::Sender::new(Manner::Open),
            left: Arc::default(),
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

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on it behaves like this.
    pub fn be(&self, manner: Manner) {
        if let Manner::Mute(bytes) = manner {
            self.left.store(bytes, Ordering::Relaxed);
        }
        self.manner.send_replace(manner);
    }

    async fn serve(self, client: TcpStream, port: u16) {
        if *self.manner.borrow() == Manner::Cut {
            return;
        }
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
            return;
        };
        for socket in [&client, &server] {
            // What is cut is cut: a reset, not an orderly end.
            let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
            let _ = socket.set_nodelay(true);
        }
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let mut manner = self.manner.subscribe();
        let asked = pump(from_client, to_server, self.manner.subscribe(), None);
        let answered = pump(
            from_server,
            to_client,
            self.manner.subscribe(),
            Some(&self.left),
        );
        let cut = async {
            // The sender lives as long as this proxy.
            let _ = manner.wait_for(|manner| *manner == Manner::Cut).await;
        };
        tokio::select! {
            () = asked => {}
            () = answered => {}
            () = cut => {}
        }
    }
}

/// From one side to the other, as it is the manner just now; until an end.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut manner: watch::Receiver<Manner>,
    left: Option<&AtomicI64>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        if count == 0 {
            return;
        }
        let now = *manner.borrow_and_update();
        match now {
            Manner::Open => {}
            Manner::Slow(time) => tokio::time::sleep(time).await,
            Manner::Silent => {
                if manner
                    .wait_for(|manner| *manner != Manner::Silent)
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Manner::Cut => return,
            Manner::Mute(_) => {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                if left.is_some_and(|left| left.fetch_sub(count, Ordering::Relaxed) < count) {
                    return;
                }
            }
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
