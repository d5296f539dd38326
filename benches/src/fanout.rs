//! Fan-out of events: time until the last of thousands of clients has an event, memory of a client,
//! and a stream of events to many clients, each compared with the raw limit.

use std::time::Duration;

use anyhow::{Context, Result};
use bakehouse_e2e::ledger::order;
use bakehouse_e2e::{Kind, World};
use tokio::time::Instant;

use crate::latency;
use crate::raw::Raw;
use crate::subscribers::SubscriberGroup;

/// Numbers of clients for single events.
const CLIENT_COUNTS: [usize; 2] = [1_000, 5_000];
/// Number of single events, which are sent one after the other.
const ROUNDS: u64 = 20;
/// Timeout of the arrival of frames.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(60);
/// Number of clients of the stream of events.
const STREAM_CLIENTS: usize = 2_000;
/// Rate of the stream, in events per second.
const RATE: u64 = 1_000;
/// Duration of the stream, in seconds.
const SECONDS: u64 = 5;

/// Measures and prints the figures.
pub(crate) async fn measure() -> Result<()> {
    println!(
        "one event to all clients, time until the last one has it (median / maximum of {ROUNDS}):"
    );
    for count in CLIENT_COUNTS {
        let raw = raw_rounds(count).await?;
        let system = rounds(count).await?;
        println!(
            "  {count:>5} clients   raw {:>6.1} / {:>6.1} ms   POST to websocket {:>6.1} / {:>6.1} ms   \
             {:.2} of raw   {:.1} KiB per client, {:+.1} after the events",
            raw.median,
            raw.max,
            system.median,
            system.max,
            system.median / raw.median,
            system.idle,
            system.growth,
        );
    }
    println!(
        "{RATE} events/s to {STREAM_CLIENTS} clients for {SECONDS} s, delay of the last frame:"
    );
    let raw = raw_stream().await?;
    let (delay, growth) = stream().await?;
    println!(
        "  raw {raw:>7.2} s   POST to websocket {delay:>7.2} s   {growth:+.1} KiB per client afterwards"
    );
    Ok(())
}

/// Times in milliseconds, and memory in KiB per client.
struct Rounds {
    median: f64,
    max: f64,
    idle: f64,
    growth: f64,
}

fn summary(mut times: Vec<Duration>, idle: f64, growth: f64) -> Rounds {
    times.sort_unstable();
    let millis = |time: &Duration| time.as_secs_f64() * 1_000.0;
    Rounds {
        median: millis(&times[times.len() / 2]),
        max: times.last().map(millis).unwrap_or_default(),
        idle,
        growth,
    }
}

async fn raw_rounds(count: usize) -> Result<Rounds> {
    let raw = Raw::start()?;
    let group = SubscriberGroup::connect(&raw.host, count).await?;
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let start = Instant::now();
        raw.broadcast(1, 1).await?;
        group.wait(round * count as u64, ARRIVAL_TIMEOUT).await?;
        times.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(summary(times, 0.0, 0.0))
}

/// Starts a system and fills its caches, so that further growth is caused by the clients.
async fn warm_world() -> Result<World> {
    let ring = [("BAKEHOUSE_FEED__BUFFER_FRAMES", "2048".to_owned())];
    let world = World::start_with(Kind::Embedded, &ring).await?;
    latency::measure(&world, 1_000, 4).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(world)
}

async fn rounds(count: usize) -> Result<Rounds> {
    let mut world = warm_world().await?;
    let client = world.client();
    let empty = resident(&mut world)?;
    let group = SubscriberGroup::connect(host(&world)?, count).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let full = resident(&mut world)?;
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let start = Instant::now();
        client.post(order(&format!("r-{round}"))).await?;
        group.wait(round * count as u64, ARRIVAL_TIMEOUT).await?;
        times.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = resident(&mut world)?;
    let each = |kib: f64| kib / count as f64;
    Ok(summary(times, each(full - empty), each(after - full)))
}

/// Returns the delay of the last frame of the raw limit, in seconds.
async fn raw_stream() -> Result<f64> {
    let raw = Raw::start()?;
    let group = SubscriberGroup::connect(&raw.host, STREAM_CLIENTS).await?;
    let start = Instant::now();
    raw.broadcast(RATE * SECONDS, RATE).await?;
    group
        .wait(RATE * SECONDS * STREAM_CLIENTS as u64, ARRIVAL_TIMEOUT)
        .await?;
    Ok(delay_since(start))
}

/// Returns the delay of the last frame in seconds, and the growth of the process in KiB per client,
/// without the growth of the stores' own caches.
async fn stream() -> Result<(f64, f64)> {
    let growth_alone = growth_without_clients().await?;
    let mut world = warm_world().await?;
    let mut group = SubscriberGroup::connect(host(&world)?, STREAM_CLIENTS).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = resident(&mut world)?;
    let start = Instant::now();
    let load = latency::measure(&world, RATE, SECONDS);
    let all = group.wait(RATE * SECONDS * STREAM_CLIENTS as u64, ARRIVAL_TIMEOUT);
    let (load, all) = tokio::join!(load, all);
    load?;
    let delay = delay_since(start);
    all.with_context(|| format!("{} clients are still connected", group.connected()))?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let growth = resident(&mut world)? - before - growth_alone;
    Ok((delay, growth / STREAM_CLIENTS as f64))
}

/// Returns the growth of the process in KiB while the same orders are placed without subscribers.
async fn growth_without_clients() -> Result<f64> {
    let mut world = warm_world().await?;
    let before = resident(&mut world)?;
    latency::measure(&world, RATE, SECONDS).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let growth = resident(&mut world)? - before;
    println!("  (without clients the process grows by {growth:.0} KiB)");
    Ok(growth)
}

/// Returns the time since the end of the stream, in seconds.
fn delay_since(start: Instant) -> f64 {
    (start.elapsed().as_secs_f64() - SECONDS as f64).max(0.0)
}

fn host(world: &World) -> Result<&str> {
    world
        .base
        .strip_prefix("http://")
        .context("the base URL is not http")
}

/// Returns the resident memory of the server's process, in KiB.
fn resident(world: &mut World) -> Result<f64> {
    let pid = world
        .process("bakehouse")
        .pid()
        .context("the server does not run")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.context("no VmRSS")?.parse()?)
}
