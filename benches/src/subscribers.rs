//! Many cheap websocket clients, which only count the order frames that arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// First bytes of an order frame.
const ORDER_PREFIX: &[u8] = b"{\"type\":\"order.";
/// Maximum number of clients that connect concurrently.
const MAX_CONNECTING: usize = 64;

/// Clients of one server. Dropping it disconnects them.
pub(crate) struct SubscriberGroup {
    arrived: Arc<AtomicU64>,
    readers: JoinSet<()>,
}

impl SubscriberGroup {
    /// Connects so many clients and waits until all are subscribed.
    pub(crate) async fn connect(host: &str, count: usize) -> Result<Self> {
        let arrived = Arc::new(AtomicU64::new(0));
        let mut readers = JoinSet::new();
        let permits = Arc::new(Semaphore::new(MAX_CONNECTING));
        let mut connecting = JoinSet::new();
        for _ in 0..count {
            let (host, permits) = (host.to_owned(), permits.clone());
            connecting.spawn(async move {
                let _permit = permits.acquire_owned().await?;
                handshake(&host).await
            });
        }
        while let Some(connected) = connecting.join_next().await {
            let (socket, rest) = connected??;
            readers.spawn(read(socket, rest, arrived.clone()));
        }
        Ok(Self { arrived, readers })
    }

    /// Returns the number of order frames that have arrived at all clients.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Waits until so many order frames have arrived.
    pub(crate) async fn wait(&self, count: u64, limit: Duration) -> Result<()> {
        let all = async {
            while self.arrived() < count {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        };
        let waited = tokio::time::timeout(limit, all).await;
        waited.with_context(|| format!("{} of {count} frames in {limit:?}", self.arrived()))
    }

    /// Returns the number of connected clients.
    pub(crate) fn connected(&mut self) -> usize {
        while self.readers.try_join_next().is_some() {}
        self.readers.len()
    }
}

/// Connects and performs the handshake. Returns the bytes that have arrived after its answer.
async fn handshake(host: &str) -> Result<(TcpStream, Vec<u8>)> {
    let mut socket = TcpStream::connect(host).await?;
    let request = format!(
        "GET /order-events HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut head = [0; 1_024];
    let size = socket.read(&mut head).await?;
    ensure!(size > 12, "the server has closed the connection");
    if &head[9..12] != b"101" {
        bail!("{}", String::from_utf8_lossy(&head[..size]));
    }
    let end = head[..size]
        .windows(4)
        .position(|window| window == b"\r\n\r\n");
    let end = end.context("incomplete answer")? + 4;
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

/// Parser of a server's frames that keeps its state between reads.
#[derive(Default)]
struct Frames {
    header: Vec<u8>,
    start: Vec<u8>,
    left: usize,
}

impl Frames {
    /// Counts the order frames whose prefix ends within these bytes.
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut count = 0;
        while let Some((first, rest)) = bytes.split_first() {
            if self.left == 0 {
                self.header.push(*first);
                bytes = rest;
                self.start_payload();
                continue;
            }
            let here = self.left.min(bytes.len());
            let missing = ORDER_PREFIX
                .len()
                .saturating_sub(self.start.len())
                .min(here);
            self.start.extend_from_slice(&bytes[..missing]);
            if missing > 0 && self.start == ORDER_PREFIX {
                count += 1;
            }
            self.left -= here;
            bytes = &bytes[here..];
        }
        count
    }

    /// Starts the payload once the header is complete.
    fn start_payload(&mut self) {
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
