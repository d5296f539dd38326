//! Bodies that are announced and never sent.

use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::attack::{Access, Attack, Bounds, nothing};
use crate::target::Target;

/// Connections that each send half a body.
const CONNECTIONS: usize = 500;
/// Bytes that each sends of its body.
const SENT: usize = 32 * 1024;
/// Time that the halves are left standing.
const PAUSE: Duration = Duration::from_secs(3);

/// Connections whose bodies come slowly.
const SLOW: usize = 1_000;
/// Bytes of each drop, and drops that come.
const DROP: usize = 1_024;
const DROPS: usize = 62;

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack {
            name: "500 orders of which half a body comes",
            access: Access::Open,
            baseline: None,
            prepare: nothing,
            run: |target| half_bodies(target).boxed(),
            bounds: Bounds {
                memory: Some(CONNECTIONS as u64 * 128 * 1024),
                others_wait: Some(Duration::from_secs(1)),
                ..Bounds::default()
            },
        },
        Attack {
            name: "1,000 orders whose bodies come in drops",
            access: Access::Open,
            baseline: None,
            prepare: nothing,
            run: |target| dripping_bodies(target).boxed(),
            bounds: Bounds {
                // The most that a body may have, in a buffer that grows by doubling.
                memory: Some(SLOW as u64 * 160 * 1024),
                others_wait: Some(Duration::from_secs(1)),
                ..Bounds::default()
            },
        },
    ]
}

async fn half_bodies(target: Target) -> Result<()> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = TcpStream::connect(&target.address).await?;
        let head = format!(
            "POST /order HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            target.address,
            SENT * 2
        );
        connection.write_all(head.as_bytes()).await?;
        connection.write_all(&vec![b' '; SENT]).await?;
        connections.push(connection);
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

async fn dripping_bodies(target: Target) -> Result<()> {
    let mut connections = Vec::new();
    for _ in 0..SLOW {
        let mut connection = TcpStream::connect(&target.address).await?;
        let head = format!(
            "POST /order HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            target.address,
            DROP * (DROPS + 1)
        );
        connection.write_all(head.as_bytes()).await?;
        connections.push(connection);
    }
    for _ in 0..DROPS {
        for connection in &mut connections {
            // Whoever is too slow has been sent away by now.
            let _ = connection.write_all(&[b' '; DROP]).await;
        }
    }
    tokio::time::sleep(PAUSE).await;
    Ok(())
}
