//! Many websocket clients that cost as little as can be: they count the order
//! frames that come, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What order frames start with.
const ORDER: &[u8] = b"{\"type\":\"order.";
/// Clients that connect at the same time.
const AT_ONCE: usize = 64;

/// Clients of one server; gone when it is dropped.
pub(crate) struct Crowd {
    arrived: Arc<AtomicU64>,
    readers: JoinSet<()>,
}

impl Crowd {
    /// `count` clients, all of which have been let in.
    pub(crate) async fn gather(host: &str, count: usize) -> Result<Self> {
        let arrived = Arc::new(AtomicU64::new(0));
        let mut readers = JoinSet::new();
        let door = Arc::new(Semaphore::new(AT_ONCE));
        let mut entering = JoinSet::new();
        for _ in 0..count {
            let (host, door) = (host.to_owned(), door.clone());
            entering.spawn(async move {
                let _one_of_few = door.acquire_owned().await?;
                enter(&host).await
            });
        }
        while let Some(entered) = entering.join_next().await {
            let (socket, rest) = entered??;
            readers.spawn(read(socket, rest, arrived.clone()));
        }
        Ok(Self { arrived, readers })
    }

    /// How many order frames have come, to all clients together.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Waits until there are so many.
    pub(crate) async fn wait(&self, count: u64, limit: Duration) -> Result<()> {
        let all = async {
            while self.arrived() < count {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        };
        let waited = tokio::time::timeout(limit, all).await;
        waited.with_context(|| format!("{} of {count} frames in {limit:?}", self.arrived()))
    }

    /// How many clients are still there.
    pub(crate) fn present(&mut self) -> usize {
        while self.readers.try_join_next().is_some() {}
        self.readers.len()
    }
}

/// The handshake, and what has come with its answer.
async fn enter(host: &str) -> Result<(TcpStream, Vec<u8>)> {
    let mut socket = TcpStream::connect(host).await?;
    let request = format!(
        "GET /order-events HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut head = [0; 1_024];
    let size = socket.read(&mut head).await?;
    ensure!(size > 12, "the server has hung up");
    if &head[9..12] != b"101" {
        bail!("{}", String::from_utf8_lossy(&head[..size]));
    }
    let end = head[..size]
        .windows(4)
        .position(|window| window == b"\r\n\r\n");
    let end = end.context("half an answer")? + 4;
    Ok((socket, head[end..size].to_vec()))
}

async fn read(mut socket: TcpStream, rest: Vec<u8>, arrived: Arc<AtomicU64>) {
    let mut buffer = vec![0; 16 * 1_024];
    let mut frames = Frames::default();
    frames.count(&rest);
    while let Ok(size @ 1..) = socket.read(&mut buffer).await {
        let count = frames.count(&buffer[..size]);
        if count > 0 {
            arrived.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// Where in a server's frames the bytes are.
#[derive(Default)]
struct Frames {
    header: Vec<u8>,
    start: Vec<u8>,
    left: usize,
}

impl Frames {
    /// How many order frames start within these bytes.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut count = 0;
        while let Some((first, rest)) = bytes.split_first() {
            if self.left == 0 {
                self.header.push(*first);
                bytes = rest;
                self.begin();
                continue;
            }
            let here = self.left.min(bytes.len());
            let missing = ORDER.len().saturating_sub(self.start.len()).min(here);
            self.start.extend_from_slice(&bytes[..missing]);
            if missing > 0 && self.start == ORDER {
                count += 1;
            }
            self.left -= here;
            bytes = &bytes[here..];
        }
        count
    }

    fn begin(&mut self) {
        let [_, second, ..] = self.header[..] else {
            return;
        };
        let extended = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.header.len() < 2 + extended {
            return;
        }
        let long = self.header[2..].iter();
        self.left = match extended {
            0 => usize::from(second),
            _ => long.fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        self.header.clear();
        self.start.clear();
    }
}
