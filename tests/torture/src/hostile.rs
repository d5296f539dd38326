//! Hostile clients: they open a few connections at a time and do not finish their requests, or do
//! not read the answers. Other clients must not be affected.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::clients::Identity;

/// Number of connections of a round.
const CONNECTIONS: usize = 5;
/// Time for which connections stay open, in milliseconds.
const HOLD_MS: std::ops::Range<u64> = 100..3_000;
/// Time between two rounds.
const ROUND_INTERVAL: Duration = Duration::from_millis(300);
/// Timeout of one step, which may meet an unavailable service.
const STEP_TIMEOUT: Duration = Duration::from_secs(3);

/// Behaviour of a hostile client.
#[derive(Clone, Copy, Debug)]
enum Behavior {
    /// An endless message in one-byte fragments with pongs in between.
    Fragments,
    /// Lists of 100 orders that are not read.
    UnreadLists,
    /// Streams of server-sent events that are not read.
    SlowEvents,
    /// Requests that wait for 60 s, whose clients disconnect immediately.
    WaitAndLeave,
    /// Request bodies that never arrive.
    StalledBodies,
    /// A flood of pings.
    Pings,
}

const BEHAVIORS: [Behavior; 6] = [
    Behavior::Fragments,
    Behavior::UnreadLists,
    Behavior::SlowEvents,
    Behavior::WaitAndLeave,
    Behavior::StalledBodies,
    Behavior::Pings,
];

/// Running hostile clients.
pub struct Hostile {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Hostile {
    /// Starts them with the token of an identity.
    #[must_use]
    pub fn start(identity: Identity, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = stop.clone();
        let task = tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut rounds = 0;
            while !ended.load(Ordering::Relaxed) {
                let behavior = BEHAVIORS[random.random_range(0..BEHAVIORS.len())];
                let base = random.random_range(0..identity.bases.len());
                let hold = Duration::from_millis(random.random_range(HOLD_MS));
                // Fails while services are unavailable.
                if round(behavior, &identity, base, hold).await.is_ok() {
                    rounds += 1;
                }
                sleep(ROUND_INTERVAL).await;
            }
            rounds
        });
        Self { stop, task }
    }

    /// Ends them. Returns the number of successful rounds.
    ///
    /// # Errors
    /// When their task has panicked.
    pub async fn finish(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.task.await?)
    }
}

async fn round(
    behavior: Behavior,
    identity: &Identity,
    base: usize,
    hold: Duration,
) -> anyhow::Result<()> {
    let address = identity.bases[base].trim_start_matches("http://");
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let connecting = TcpStream::connect(address);
        let mut connection = timeout(STEP_TIMEOUT, connecting).await??;
        let request = request(behavior, address, &identity.authorization);
        connection.write_all(request.as_bytes()).await?;
        connections.push(connection);
    }
    match behavior {
        Behavior::WaitAndLeave => return Ok(()),
        Behavior::Fragments => {
            let first = frame(0x01, b"{");
            let more = [frame(0x00, b" "), frame(0x8a, b"")].concat();
            flood(&mut connections, &first, &more).await?;
        }
        Behavior::Pings => {
            flood(&mut connections, b"", &frame(0x89, &[b'x'; 125]).repeat(50)).await?
        }
        Behavior::UnreadLists | Behavior::SlowEvents | Behavior::StalledBodies => {}
    }
    sleep(hold).await;
    Ok(())
}

/// Sends frames after the handshake, as long as the server reads them.
async fn flood(connections: &mut [TcpStream], first: &[u8], more: &[u8]) -> anyhow::Result<()> {
    for connection in connections.iter_mut() {
        let mut answer = [0; 512];
        timeout(STEP_TIMEOUT, connection.read(&mut answer)).await??;
        connection.write_all(first).await?;
    }
    for _ in 0..100 {
        for connection in connections.iter_mut() {
            let sending = connection.write_all(more);
            let _ = timeout(Duration::from_millis(10), sending).await;
        }
    }
    Ok(())
}

fn request(behavior: Behavior, address: &str, authorization: &str) -> String {
    let (line, headers) = match behavior {
        Behavior::Fragments | Behavior::Pings => (
            "GET /order-events",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n",
        ),
        Behavior::UnreadLists => ("GET /order?limit=100", ""),
        Behavior::SlowEvents => ("GET /order-events?since=0", "Accept: text/event-stream\r\n"),
        Behavior::WaitAndLeave => (
            "GET /order/0199abcd-0000-7000-8000-00000000000a",
            "Prefer: wait=60\r\n",
        ),
        Behavior::StalledBodies => (
            "POST /order",
            "Content-Type: application/json\r\nContent-Length: 4000\r\n",
        ),
    };
    format!("{line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {authorization}\r\n{headers}\r\n")
}

/// Returns a client's frame, masked with zeroes.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or_default();
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}
