//! Many connections, websockets and event streams that are idle, flooded or not read.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::attack::{Attack, nothing};
use crate::bounds::Bounds;
use crate::target::{Access, Target};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// Time for which connections stay open.
const HOLD_TIME: Duration = Duration::from_secs(3);
/// Maximum waiting time of another client.
const MAX_WAIT: Option<Duration> = Some(Duration::from_secs(1));

/// Number of idle connections.
const IDLE: u64 = 1_000;
/// Number of websockets.
const SOCKETS: u64 = 200;
/// Number of event streams that are not read.
const STREAMS: u64 = 300;
/// Number of lists that are not read.
const LISTS: u64 = 100;
/// Number of orders of about 100 kB each.
const ORDERS: usize = 100;

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack {
            name: "1,000 idle connections",
            access: Access::Open,
            baseline: None,
            prepare: nothing,
            run: |target| idle(target).boxed(),
            bounds: Bounds {
                memory: Some(IDLE * 64 * KIB),
                descriptors: Some(IDLE + 50),
                others_wait: MAX_WAIT,
                ..Bounds::default()
            },
        },
        Attack {
            name: "200 websockets with one-byte fragments and pongs",
            access: Access::Open,
            baseline: None,
            prepare: nothing,
            run: |target| fragments(target).boxed(),
            bounds: Bounds {
                memory: Some(SOCKETS * 256 * KIB),
                descriptors: Some(SOCKETS + 50),
                others_wait: MAX_WAIT,
                ..Bounds::default()
            },
        },
        Attack {
            name: "a flood of pings on 200 websockets that are not read",
            access: Access::Open,
            baseline: None,
            prepare: nothing,
            run: |target| pings(target).boxed(),
            bounds: Bounds {
                memory: Some(SOCKETS * 256 * KIB),
                others_wait: MAX_WAIT,
                ..Bounds::default()
            },
        },
        Attack {
            name: "300 streams of events that are not read",
            access: Access::Open,
            baseline: None,
            prepare: nothing,
            run: |target| streams(target).boxed(),
            // Includes the orders in the ring buffer and in outgoing frames.
            bounds: Bounds {
                memory: Some(STREAMS * 512 * KIB + 128 * MIB),
                descriptors: Some(STREAMS + 50),
                others_wait: Some(Duration::from_secs(2)),
                ..Bounds::default()
            },
        },
        Attack {
            name: "100 lists of 100 long orders that are not read",
            access: Access::Open,
            baseline: None,
            prepare: |target| long_orders(target).boxed(),
            run: |target| lists(target).boxed(),
            bounds: Bounds {
                memory: Some(LISTS * 512 * KIB + 64 * MIB),
                descriptors: Some(LISTS + 50),
                others_wait: Some(Duration::from_secs(2)),
                ..Bounds::default()
            },
        },
    ]
}

async fn idle(target: Target) -> Result<()> {
    let mut connections = Vec::new();
    for _ in 0..IDLE {
        connections.push(TcpStream::connect(&target.address).await?);
    }
    tokio::time::sleep(HOLD_TIME).await;
    Ok(())
}

/// Opens a websocket and waits for the answer of the handshake.
async fn websocket(target: &Target) -> Result<TcpStream> {
    let mut connection = TcpStream::connect(&target.address).await?;
    connection.set_nodelay(true)?;
    let request = format!(
        "GET /order-events HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n",
        target.address
    );
    connection.write_all(request.as_bytes()).await?;
    let mut answer = [0; 12];
    connection.read_exact(&mut answer).await?;
    ensure!(answer == *b"HTTP/1.1 101", "the websocket was refused");
    Ok(connection)
}

/// Returns a client's frame, masked with zeroes.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or_default();
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

async fn fragments(target: Target) -> Result<()> {
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        let mut socket = websocket(&target).await?;
        socket.write_all(&frame(0x01, b"{")).await?;
        sockets.push(socket);
    }
    let both = [frame(0x00, b" "), frame(0x8a, b"")].concat();
    for _ in 0..1_000 {
        for socket in &mut sockets {
            // Fails after the server has closed the websocket.
            let _ = socket.write_all(&both).await;
        }
    }
    Ok(())
}

async fn pings(target: Target) -> Result<()> {
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(websocket(&target).await?);
    }
    let many = frame(0x89, &[b'x'; 125]).repeat(200);
    for _ in 0..20 {
        for socket in &mut sockets {
            let sending = socket.write_all(&many);
            let _ = tokio::time::timeout(Duration::from_millis(20), sending).await;
        }
    }
    tokio::time::sleep(HOLD_TIME).await;
    Ok(())
}

async fn streams(target: Target) -> Result<()> {
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let mut connection = TcpStream::connect(&target.address).await?;
        let request = format!(
            "GET /order-events HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
            target.address
        );
        connection.write_all(request.as_bytes()).await?;
        streams.push(connection);
    }
    long_orders(target).await?;
    tokio::time::sleep(HOLD_TIME).await;
    Ok(())
}

/// Places orders whose documents have about 100 kB each.
async fn long_orders(target: Target) -> Result<()> {
    let client = target.client();
    let name = "x".repeat(190);
    let product = json!({ "name": name, "price": "1" });
    let order = json!({ "products": vec![product; 250] }).to_string();
    let mut last = None;
    for _ in 0..ORDERS {
        let placed = client.post(order.clone()).await?;
        ensure!(placed.status == 202, "{placed:?}");
        last = Some(placed);
    }
    let last = last.context("no order was placed")?;
    client.settled(&last).await.map(|_| ())
}

async fn lists(target: Target) -> Result<()> {
    let mut lists = Vec::new();
    for _ in 0..LISTS {
        let mut connection = TcpStream::connect(&target.address).await?;
        let request = format!(
            "GET /order?limit=100 HTTP/1.1\r\nHost: {}\r\n\r\n",
            target.address
        );
        connection.write_all(request.as_bytes()).await?;
        lists.push(connection);
    }
    tokio::time::sleep(HOLD_TIME).await;
    let mut answer = [0; 12];
    let first = lists.first_mut().context("no list was requested")?;
    first.read_exact(&mut answer).await?;
    ensure!(answer == *b"HTTP/1.1 200", "the list was refused");
    Ok(())
}
