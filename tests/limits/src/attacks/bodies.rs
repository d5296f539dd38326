//! Request bodies that are announced and arrive partially or slowly.

use std::time::Duration;

use anyhow::Result;
use futures_util::FutureExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::attack::{Attack, nothing};
use crate::bounds::Bounds;
use crate::target::{Access, Target};

/// Number of connections that each send half a body.
const CONNECTIONS: usize = 500;
/// Bytes of the body that each connection sends.
const SENT: usize = 32 * 1024;
/// Time for which connections stay open.
const HOLD_TIME: Duration = Duration::from_secs(3);

/// Number of connections whose bodies arrive slowly.
const SLOW_CONNECTIONS: usize = 1_000;
/// Size of a chunk of such a body, in bytes.
const CHUNK: usize = 1_024;
/// Number of chunks that are sent.
const CHUNKS: usize = 62;

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
            run: |target| slow_bodies(target).boxed(),
            bounds: Bounds {
                // Maximum size of a body, in a buffer that grows by doubling.
                memory: Some(SLOW_CONNECTIONS as u64 * 160 * 1024),
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
    tokio::time::sleep(HOLD_TIME).await;
    Ok(())
}

async fn slow_bodies(target: Target) -> Result<()> {
    let mut connections = Vec::new();
    for _ in 0..SLOW_CONNECTIONS {
        let mut connection = TcpStream::connect(&target.address).await?;
        let head = format!(
            "POST /order HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            target.address,
            CHUNK * (CHUNKS + 1)
        );
        connection.write_all(head.as_bytes()).await?;
        connections.push(connection);
    }
    for _ in 0..CHUNKS {
        for connection in &mut connections {
            // Fails if the server has closed a slow connection.
            let _ = connection.write_all(&[b' '; CHUNK]).await;
        }
    }
    tokio::time::sleep(HOLD_TIME).await;
    Ok(())
}
