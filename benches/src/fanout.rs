//! One event to everybody: how long until the last of thousands has it, what a
//! client costs, and a stream of events to a crowd; beside the raw limit.

use std::time::Duration;

use anyhow::{Context, Result};
use bakehouse_e2e::ledger::order;
use bakehouse_e2e::{Kind, World};
use tokio::time::Instant;

use crate::crowd::Crowd;
use crate::latency;
use crate::raw::Raw;

/// Sizes of the crowd for single events.
const CROWDS: [usize; 2] = [1_000, 5_000];
/// Single events, one after the other.
const ROUNDS: u64 = 20;
const LIMIT: Duration = Duration::from_secs(60);
/// A stream of events: to so many, at this rate, for so long.
const AUDIENCE: usize = 2_000;
const RATE: u64 = 1_000;
const SECONDS: u64 = 5;

/// Measures and prints.
pub(crate) async fn measure() -> Result<()> {
    println!("one event to a crowd, until the last has it (median and worst of {ROUNDS}):");
    for count in CROWDS {
        let raw = raw_rounds(count).await?;
        let ours = rounds(count).await?;
        println!(
            "  {count:>5} clients   raw {:>6.1} / {:>6.1} ms   POST to websocket {:>6.1} / {:>6.1} ms   \
             {:.2} of raw   {:.1} KiB a client, {:+.1} after the events",
            raw.median,
            raw.worst,
            ours.median,
            ours.worst,
            ours.median / raw.median,
            ours.idle,
            ours.growth,
        );
    }
    println!("{RATE} events/s to {AUDIENCE} clients for {SECONDS} s, the last one late by:");
    let raw = raw_stream().await?;
    let (ours, growth) = stream().await?;
    println!(
        "  raw {raw:>7.2} s   POST to websocket {ours:>7.2} s   {growth:+.1} KiB a client afterwards"
    );
    Ok(())
}

/// Milliseconds, and KiB a client.
struct Rounds {
    median: f64,
    worst: f64,
    idle: f64,
    growth: f64,
}

fn summary(mut times: Vec<Duration>, idle: f64, growth: f64) -> Rounds {
    times.sort_unstable();
    let millis = |time: &Duration| time.as_secs_f64() * 1_000.0;
    Rounds {
        median: millis(&times[times.len() / 2]),
        worst: times.last().map(millis).unwrap_or_default(),
        idle,
        growth,
    }
}

async fn raw_rounds(count: usize) -> Result<Rounds> {
    let raw = Raw::start()?;
    let crowd = Crowd::gather(&raw.host, count).await?;
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let start = Instant::now();
        raw.broadcast(1, 1).await?;
        crowd.wait(round * count as u64, LIMIT).await?;
        times.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(summary(times, 0.0, 0.0))
}

/// One whose caches are full: what it grows by from here is the crowd's.
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
    let crowd = Crowd::gather(host(&world)?, count).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let full = resident(&mut world)?;
    let mut times = Vec::new();
    for round in 1..=ROUNDS {
        let start = Instant::now();
        client.post(order(&format!("r-{round}"))).await?;
        crowd.wait(round * count as u64, LIMIT).await?;
        times.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = resident(&mut world)?;
    let each = |kib: f64| kib / count as f64;
    Ok(summary(times, each(full - empty), each(after - full)))
}

/// Seconds by which the last frame came late.
async fn raw_stream() -> Result<f64> {
    let raw = Raw::start()?;
    let crowd = Crowd::gather(&raw.host, AUDIENCE).await?;
    let start = Instant::now();
    raw.broadcast(RATE * SECONDS, RATE).await?;
    crowd.wait(RATE * SECONDS * AUDIENCE as u64, LIMIT).await?;
    Ok(late(start))
}

/// Seconds by which the last frame came late, and KiB a client by which the
/// process has grown more than without an audience: the stores' own caches grow
/// with what is in them.
async fn stream() -> Result<(f64, f64)> {
    let alone = unheard_stream().await?;
    let mut world = warm_world().await?;
    let mut crowd = Crowd::gather(host(&world)?, AUDIENCE).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = resident(&mut world)?;
    let start = Instant::now();
    let load = latency::measure(&world, RATE, SECONDS);
    let all = crowd.wait(RATE * SECONDS * AUDIENCE as u64, LIMIT);
    let (load, all) = tokio::join!(load, all);
    load?;
    let late = late(start);
    all.with_context(|| format!("{} clients are left", crowd.present()))?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let growth = resident(&mut world)? - before - alone;
    Ok((late, growth / AUDIENCE as f64))
}

/// KiB by which the process grows while the same orders are placed and nobody
/// follows.
async fn unheard_stream() -> Result<f64> {
    let mut world = warm_world().await?;
    let before = resident(&mut world)?;
    latency::measure(&world, RATE, SECONDS).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let growth = resident(&mut world)? - before;
    println!("  (alone the process grows by {growth:.0} KiB)");
    Ok(growth)
}

fn late(start: Instant) -> f64 {
    (start.elapsed().as_secs_f64() - SECONDS as f64).max(0.0)
}

fn host(world: &World) -> Result<&str> {
    world.base.strip_prefix("http://").context("an address")
}

/// KiB of memory that the server's process has.
fn resident(world: &mut World) -> Result<f64> {
    let pid = world.process("bakehouse").pid().context("it runs")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.context("VmRSS")?.parse()?)
}
