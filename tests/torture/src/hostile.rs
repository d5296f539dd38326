//! Hostile clients, a few at a time: what they open they do not finish, or do not read. Nobody
//! else is to notice.

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

/// Connections of a round.
const CONNECTIONS: usize = 5;
/// Time that they are left standing.
const STANDING: std::ops::Range<u64> = 100..3_000;
/// Between one round and the next.
const REST: Duration = Duration::from_millis(300);
/// How long a step may take while services are away.
const STEP_TIMEOUT: Duration = Duration::from_secs(3);

/// Behaviour of a hostile client.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// A message in one-byte fragments with pongs between them, that never ends.
    Fragments,
    /// Lists of a hundred that are not read.
    UnreadLists,
    /// Streams of events that are not read.
    SlowEvents,
    /// Requests that wait for a minute, from clients that are gone at once.
    WaitAndLeave,
    /// Bodies of which half comes.
    StalledBodies,
    /// Pings without end.
    Pings,
}

const KINDS: [Kind; 6] = [
    Kind::Fragments,
    Kind::UnreadLists,
    Kind::SlowEvents,
    Kind::WaitAndLeave,
    Kind::StalledBodies,
    Kind::Pings,
];

/// At work; ends with the number of its rounds.
pub struct Hostile {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Hostile {
    /// Starts them, with this token where one is needed.
    #[must_use]
    pub fn start(identity: Identity, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = stop.clone();
        let task = tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut rounds = 0;
            while !ended.load(Ordering::Relaxed) {
                let kind = KINDS[random.random_range(0..KINDS.len())];
                let base = random.random_range(0..identity.bases.len());
                let standing = Duration::from_millis(random.random_range(STANDING));
                // Services may be away.
                if round(kind, &identity, base, standing).await.is_ok() {
                    rounds += 1;
                }
                sleep(REST).await;
            }
            rounds
        });
        Self { stop, task }
    }

    /// Ends them.
    ///
    /// # Errors
    /// When they have failed by themselves.
    pub async fn finish(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        Ok(self.task.await?)
    }
}

async fn round(
    kind: Kind,
    identity: &Identity,
    base: usize,
    standing: Duration,
) -> anyhow::Result<()> {
    let address = identity.bases[base].trim_start_matches("http://");
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let connecting = TcpStream::connect(address);
        let mut connection = timeout(STEP_TIMEOUT, connecting).await??;
        let request = request(kind, address, &identity.authorization);
        connection.write_all(request.as_bytes()).await?;
        open.push(connection);
    }
    match kind {
        Kind::WaitAndLeave => return Ok(()),
        Kind::Fragments => {
            let first = frame(0x01, b"{");
            let more = [frame(0x00, b" "), frame(0x8a, b"")].concat();
            flood(&mut open, &first, &more).await?;
        }
        Kind::Pings => flood(&mut open, b"", &frame(0x89, &[b'x'; 125]).repeat(50)).await?,
        Kind::UnreadLists | Kind::SlowEvents | Kind::StalledBodies => {}
    }
    sleep(standing).await;
    Ok(())
}

/// Sends frames after the handshake, as long as they are taken.
async fn flood(open: &mut [TcpStream], first: &[u8], more: &[u8]) -> anyhow::Result<()> {
    for connection in open.iter_mut() {
        let mut answer = [0; 512];
        timeout(STEP_TIMEOUT, connection.read(&mut answer)).await??;
        connection.write_all(first).await?;
    }
    for _ in 0..100 {
        for connection in open.iter_mut() {
            let sending = connection.write_all(more);
            let _ = timeout(Duration::from_millis(10), sending).await;
        }
    }
    Ok(())
}

fn request(kind: Kind, address: &str, authorization: &str) -> String {
    let (line, headers) = match kind {
        Kind::Fragments | Kind::Pings => (
            "GET /order-events",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n",
        ),
        Kind::UnreadLists => ("GET /order?limit=100", ""),
        Kind::SlowEvents => ("GET /order-events?since=0", "Accept: text/event-stream\r\n"),
        Kind::WaitAndLeave => (
            "GET /order/0199abcd-0000-7000-8000-00000000000a",
            "Prefer: wait=60\r\n",
        ),
        Kind::StalledBodies => (
            "POST /order",
            "Content-Type: application/json\r\nContent-Length: 4000\r\n",
        ),
    };
    format!("{line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {authorization}\r\n{headers}\r\n")
}

/// A frame of a client, masked by zeroes.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or_default();
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}
