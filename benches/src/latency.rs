//! Latency of an order from its POST to its frame on the websocket, at a fixed rate.

use std::time::Duration;

use anyhow::{Context, Result};
use bakehouse_e2e::World;
use bakehouse_e2e::ledger::order;
use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::client::Connection;

/// Maximum number of connections; enough for the highest rate if an answer takes 60 ms.
const MAX_CONNECTIONS: u64 = 64;

/// Measures latencies, in microseconds. Each one starts when the order is due, even if the
/// generator sends it later: a system that blocks the generator must not appear fast.
pub(crate) async fn measure(world: &World, rate: u64, seconds: u64) -> Result<Histogram<u64>> {
    let orders = rate * seconds;
    let mut feed = world.feed("").await?;
    let run = uuid::Uuid::now_v7().simple().to_string();
    let start = Instant::now() + Duration::from_millis(100);
    let due = move |number: u64| start + Duration::from_secs(1) * number as u32 / rate as u32;
    let senders = senders(world, &run, due, orders, rate).await?;
    let mut times = Histogram::new(3)?;
    let prefix = format!("\"reference\":\"{run}-");
    let mut seen = 0;
    while seen < orders {
        let text = feed.text().await?;
        let Some((_, rest)) = text.split_once(&prefix) else {
            continue;
        };
        let number = rest
            .split('"')
            .next()
            .and_then(|number| number.parse().ok());
        let elapsed = due(number.context("a reference without a number")?).elapsed();
        times.record(u64::try_from(elapsed.as_micros())?)?;
        seen += 1;
    }
    for sender in senders {
        sender.await??;
    }
    Ok(times)
}

/// Starts tasks that send each order when it is due.
async fn senders(
    world: &World,
    run: &str,
    due: impl Fn(u64) -> Instant + Send + Copy + 'static,
    orders: u64,
    rate: u64,
) -> Result<Vec<tokio::task::JoinHandle<Result<()>>>> {
    let (queue, receiver) = mpsc::channel(orders as usize);
    let receiver = std::sync::Arc::new(tokio::sync::Mutex::new(receiver));
    let mut tasks = Vec::new();
    for _ in 0..MAX_CONNECTIONS.min(rate) {
        let mut connection = Connection::open(&world.base).await?;
        let (receiver, run) = (receiver.clone(), run.to_owned());
        tasks.push(tokio::spawn(async move {
            loop {
                let number = receiver.lock().await.recv().await;
                let Some(number) = number else { return Ok(()) };
                let number: u64 = number;
                connection.place(order(&format!("{run}-{number}"))).await?;
            }
        }));
    }
    // A separate thread, since the runtime's timer has a resolution of 1 ms.
    std::thread::spawn(move || {
        for number in 0..orders {
            std::thread::sleep(due(number).saturating_duration_since(Instant::now()));
            if queue.blocking_send(number).is_err() {
                return;
            }
        }
    });
    Ok(tasks)
}
