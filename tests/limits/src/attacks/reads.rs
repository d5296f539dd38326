//! Expensive reads: long waits, and histories of many events.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bakehouse_e2e::{Client, ledger};
use futures_util::FutureExt;
use futures_util::future::join_all;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::attack::{Attack, nothing};
use crate::bounds::Bounds;
use crate::target::{Access, Target};

/// Number of requests that wait, whose clients disconnect immediately.
const WAITS: usize = 500;
/// Time within which the server must have closed their connections.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of rejected changes of one order.
const CHANGES: usize = 2_000;
/// Size of each change, in bytes.
const CHANGE_SIZE: usize = 60 * 1024;
/// Number of concurrent clients that send the changes.
const SENDERS: usize = 20;
/// Number of concurrent reads of an earlier version of the order.
const READS: usize = 20;

pub(super) fn attacks() -> Vec<Attack> {
    let bounds = Bounds {
        memory: Some(64 * 1024 * 1024),
        others_wait: Some(Duration::from_secs(2)),
        ..Bounds::default()
    };
    vec![
        Attack {
            name: "500 waits whose clients are gone at once",
            access: Access::Open,
            baseline: None,
            prepare: nothing,
            run: |target| waits(target).boxed(),
            bounds: Bounds {
                // One for each connection, and those of the server itself.
                descriptors: Some(WAITS as u64 + 100),
                ..bounds
            },
        },
        Attack {
            name: "2,000 refused changes of 60 KB, and reads of the order as it was",
            access: Access::Open,
            baseline: None,
            prepare: nothing,
            run: |target| refused_changes(target).boxed(),
            bounds: Bounds {
                memory: Some(256 * 1024 * 1024),
                disk: Some(256 * 1024 * 1024),
                ..bounds
            },
        },
    ]
}

async fn waits(target: Target) -> Result<()> {
    let client = target.client();
    let (order, _) = place(&client).await?;
    let before = descriptors(&target)?;
    let mut connections = Vec::new();
    for _ in 0..WAITS {
        let mut connection = TcpStream::connect(&target.address).await?;
        let request = format!(
            "GET {order} HTTP/1.1\r\nHost: {}\r\nPrefer: wait=60\r\nIf-None-Match: \"1\"\r\n\r\n",
            target.address
        );
        connection.write_all(request.as_bytes()).await?;
        connections.push(connection);
    }
    drop(connections);
    let start = Instant::now();
    while descriptors(&target)? > before + WAITS / 10 {
        ensure!(
            start.elapsed() < CLOSE_TIMEOUT,
            "waits outlast their clients"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn descriptors(target: &Target) -> Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{}/fd", target.pid))?.count())
}

/// Places an order. Returns its path and position.
async fn place(client: &Client) -> Result<(String, u64)> {
    let accepted = client.post(ledger::order("attacked")).await?;
    let receipt = client.settled(&accepted).await?;
    let position = receipt["position"].as_u64().unwrap_or_default();
    Ok((accepted.header("location").to_owned(), position))
}

async fn refused_changes(target: Target) -> Result<()> {
    let client = target.client();
    let (order, position) = place(&client).await?;
    let paid = json!({ "status": "paid" }).to_string();
    let accepted = client.put(&format!("{order}/status"), &[], paid).await?;
    client.settled(&accepted).await?;
    // A paid order cannot be changed, so every change is rejected.
    let product = json!({ "name": "x".repeat(190), "price": "1" }).to_string();
    let products = vec![product.as_str(); CHANGE_SIZE / (product.len() + 1)].join(",");
    let change = format!("{{\"products\":[{products}]}}");
    let senders = (0..SENDERS).map(|_| async {
        let mut limited = 0;
        for _ in 0..CHANGES / SENDERS {
            let answer = client.put(&order, &[], change.clone()).await?;
            match answer.status.as_u16() {
                202 => {}
                429 => limited += 1,
                other => anyhow::bail!("a change was answered {other}: {:?}", answer.json()),
            }
        }
        anyhow::Ok(limited)
    });
    let mut limited = 0;
    for sender in join_all(senders).await {
        limited += sender?;
    }
    ensure!(
        limited > CHANGES / 4,
        "only {limited} changes were rate-limited"
    );
    let path = format!("{order}?as_of={}", position + 1);
    let reads = (0..READS).map(|_| client.get(&path));
    for answer in join_all(reads).await {
        let status = answer?.status.as_u16();
        ensure!(
            [200, 429, 503].contains(&status),
            "a read was answered {status}"
        );
    }
    let history = client.get(&format!("{order}/history")).await?;
    let lines = history.json().as_array().map_or(0, Vec::len);
    ensure!(lines <= 100, "a page has {lines} lines");
    Ok(())
}
