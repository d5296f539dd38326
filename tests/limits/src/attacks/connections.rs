//! Connections, websockets and streams of events that are opened in numbers, flooded, or not read.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::FutureExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::attack::{Access, Attack, Bounds, nothing};
use crate::target::Target;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// Time that connections are left standing.
const PAUSE: Duration = Duration::from_secs(3);
/// Longest that another client may wait meanwhile.
const WAIT: Option<Duration> = Some(Duration::from_secs(1));

/// Connections that do nothing.
const IDLE: u64 = 1_000;
/// Websockets.
const SOCKETS: u64 = 200;
/// Streams of events that nobody reads.
const STREAMS: u64 = 300;
/// Lists that nobody reads.
const LISTS: u64 = 100;
/// Orders of a hundred kilobytes.
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
                others_wait: WAIT,
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
                others_wait: WAIT,
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
                others_wait: WAIT,
                ..Bounds::default()
            },
        },
        Attack {
            name: "300 streams of events that are not read",
            access: Access::Open,
            baseline: None,
            prepare: nothing,
            run: |target| streams(target).boxed(),
            // The orders themselves are in the ring once, and in what is on its way.
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
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

/// A websocket that has been answered.
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
    ensure!(answer == *b"HTTP/1.1 101", "it was refused");
    Ok(connection)
}

/// A frame of a client, masked by zeroes.
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
            // It is closed sooner or later.
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
    tokio::time::sleep(PAUSE).await;
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
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

/// Orders whose documents have some hundred kilobytes each.
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
    let last = last.context("no order")?;
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
    tokio::time::sleep(PAUSE).await;
    let mut answer = [0; 12];
    let first = lists.first_mut().context("no list")?;
    first.read_exact(&mut answer).await?;
    ensure!(answer == *b"HTTP/1.1 200", "the list was refused");
    Ok(())
}
