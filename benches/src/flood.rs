//! Throughput: orders per second under full load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;
use bakehouse_e2e::World;
use bakehouse_e2e::ledger::order;
use tokio::task::JoinSet;

use crate::client::Connection;

/// Sends so many orders over some connections. Returns the orders per second from the first POST to
/// the last frame.
pub(crate) async fn measure(world: &World, orders: u64, connections: usize) -> Result<f64> {
    let mut feed = world.feed("").await?;
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let mut connection = Connection::open(&world.base).await?;
        let next = next.clone();
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= orders {
                    return anyhow::Ok(());
                }
                connection.place(order(&format!("r-{number}"))).await?;
            }
        });
    }
    let mut seen = 0;
    while seen < orders {
        seen += u64::from(feed.text().await?.starts_with(r#"{"type":"order."#));
    }
    let elapsed = started.elapsed();
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(orders as f64 / elapsed.as_secs_f64())
}
